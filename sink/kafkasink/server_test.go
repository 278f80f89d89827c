package kafkasink_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tectari/dovetail/internal/sinktest"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/sink/kafkasink"
)

// A bundle is a broker in this process, behind a proxy, with a topic of three
// partitions.
type bundle struct {
	t       *testing.T
	topic   string
	port    int
	options []kfake.Opt
	cluster *kfake.Cluster
	proxy   *sinktest.Proxy
	client  *kgo.Client
	sink    *kafkasink.Sink
}

func setup(t *testing.T, timeout time.Duration, options ...kfake.Opt) *bundle {
	t.Helper()
	b := &bundle{t: t, topic: "orders-" + rand.Text(), port: sinktest.FreePort(t)}
	b.options = append([]kfake.Opt{kfake.NumBrokers(1), kfake.Ports(b.port), kfake.SeedTopics(3, b.topic), kfake.DataDir(t.TempDir()), kfake.SyncWrites()}, options...)
	b.start()
	t.Cleanup(func() { b.cluster.Close() })
	b.proxy = sinktest.NewProxy(t, fmt.Sprint("127.0.0.1:", b.port))
	b.client = b.connect()
	var err error
	b.sink, err = kafkasink.New(kafkasink.Config{Client: b.client, Timeout: timeout})
	require.NoError(t, err)
	return b
}

// start starts the broker, the second time with what it had stored.
func (b *bundle) start() {
	b.t.Helper()
	cluster, err := kfake.NewCluster(b.options...)
	require.NoError(b.t, err)
	b.cluster = cluster
}

// connect returns a client that reaches the broker through the proxy.
func (b *bundle) connect(options ...kgo.Opt) *kgo.Client {
	b.t.Helper()
	options = append(append(kafkasink.Options(),
		kgo.SeedBrokers(fmt.Sprint("127.0.0.1:", b.port)),
		kgo.MetadataMinAge(50*time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
		kgo.Dialer(func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, b.proxy.Addr())
		}),
	), options...)
	client, err := kgo.NewClient(options...)
	require.NoError(b.t, err)
	b.t.Cleanup(client.Close)
	return client
}

// records returns what the topic holds, each partition in its order.
func (b *bundle) records() []*kgo.Record {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 30*time.Second)
	defer cancel()
	end := int64(0)
	for _, p := range b.cluster.PartitionInfos(b.topic) {
		end += p.HighWatermark
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(fmt.Sprint("127.0.0.1:", b.port)), kgo.ConsumeTopics(b.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(b.t, err)
	defer client.Close()
	var got []*kgo.Record
	for int64(len(got)) < end {
		fetches := client.PollFetches(ctx)
		require.NoError(b.t, fetches.Err())
		got = append(got, fetches.Records()...)
	}
	return got
}

func (b *bundle) received() []sinktest.Received {
	b.t.Helper()
	var got []sinktest.Received
	for _, r := range b.records() {
		m := sinktest.Received{Key: string(r.Key), Payload: string(r.Value), Headers: map[string]string{}}
		for _, h := range r.Headers {
			m.Headers[h.Key] = string(h.Value)
		}
		m.ID = m.Headers["message-id"]
		got = append(got, m)
	}
	return got
}

// delivery is a message as the queue hands it to the sink.
func (b *bundle) delivery(id string) outbox.Delivery {
	return outbox.Delivery{Message: outbox.Message{ID: id, To: "broker", Topic: b.topic, Key: "k", Payload: []byte("payload " + id)}, Attempt: 1}
}
