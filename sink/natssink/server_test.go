package natssink_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/internal/sinktest"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/sink/natssink"
)

// server returns the address of a server with JetStream: DOVETAIL_NATS_URL, the
// one on the standard port, or one of the test's own.
func server(t *testing.T) string {
	t.Helper()
	if url := os.Getenv("DOVETAIL_NATS_URL"); url != "" {
		return url
	}
	if conn, err := nats.Connect(nats.DefaultURL, nats.Timeout(time.Second)); err == nil {
		defer conn.Close()
		js, err := jetstream.New(conn)
		require.NoError(t, err)
		if _, err := js.AccountInfo(t.Context()); err == nil {
			return nats.DefaultURL
		}
	}
	_, url := ownServer(t, "")
	return url
}

// ownServer starts a server that the test may kill.
func ownServer(t *testing.T, config string) (*sinktest.Process, string) {
	t.Helper()
	binary, err := exec.LookPath("nats-server")
	if err != nil {
		t.Skip("no nats-server: apt install nats-server; where the test kills no server, one named in DOVETAIL_NATS_URL does too")
	}
	port, dir := sinktest.FreePort(t), t.TempDir()
	file := filepath.Join(dir, "nats.conf")
	config = fmt.Sprintf("listen: 127.0.0.1:%d\njetstream { store_dir: %q }\n%s", port, filepath.Join(dir, "store"), config)
	require.NoError(t, os.WriteFile(file, []byte(config), 0o600))
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	p := &sinktest.Process{
		Command: func() *exec.Cmd { return exec.Command(binary, "-c", file) },
		Ready: func() error {
			conn, err := net.DialTimeout("tcp", addr, time.Second)
			if err == nil {
				err = conn.Close()
			}
			return err
		},
	}
	p.Start(t)
	return p, "nats://" + addr
}

func connect(t *testing.T, url string, options ...nats.Option) jetstream.JetStream {
	t.Helper()
	options = append([]nats.Option{
		nats.MaxReconnects(-1), nats.ReconnectWait(20 * time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
	}, options...)
	conn, err := nats.Connect(url, options...)
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	return js
}

// A bundle is a stream of the test's own and what the test needs around it.
type bundle struct {
	t       *testing.T
	js      jetstream.JetStream // asks the server what it holds
	stream  string
	subject string
	sink    *natssink.Sink
}

// setup makes a stream and a sink that publishes to it through via; via is the
// connection that looks at the stream when it is nil.
func setup(t *testing.T, url string, via jetstream.JetStream, change ...func(*jetstream.StreamConfig, *natssink.Config)) *bundle {
	t.Helper()
	name := "T" + rand.Text()
	b := &bundle{t: t, js: connect(t, url), stream: name, subject: "dovetail." + name + ".created"}
	if via == nil {
		via = b.js
	}
	stream := jetstream.StreamConfig{Name: name, Subjects: []string{"dovetail." + name + ".>"}, Duplicates: 2 * time.Minute}
	config := natssink.Config{JetStream: via, Stream: name, Timeout: 2 * time.Second}
	for _, f := range change {
		f(&stream, &config)
	}
	require.NoError(t, b.create(stream))
	t.Cleanup(func() {
		ctx, cancel := contextFor(time.Second)
		defer cancel()
		_ = b.js.DeleteStream(ctx, name) // the test may have deleted it, or killed its server
	})
	var err error
	b.sink, err = natssink.New(config)
	require.NoError(t, err)
	return b
}

// noFolder is the server's error "error creating store for stream". It comes when
// the last stream of the account is deleted at the same moment, by a test beside
// this one, since the folder of all streams goes with it.
const noFolder jetstream.ErrorCode = 10049

// create makes the stream, again where its folder was taken away.
func (b *bundle) create(stream jetstream.StreamConfig) error {
	for tries := 0; ; tries++ {
		_, err := b.js.CreateStream(b.t.Context(), stream)
		if refused, ok := errors.AsType[*jetstream.APIError](err); ok && refused.ErrorCode == noFolder && tries < 10 {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		return err
	}
}

// received returns what the stream holds.
func (b *bundle) received() []sinktest.Received {
	b.t.Helper()
	stream, err := b.js.Stream(b.t.Context(), b.stream)
	require.NoError(b.t, err)
	var got []sinktest.Received
	state := stream.CachedInfo().State
	for seq := state.FirstSeq; seq <= state.LastSeq && state.Msgs > 0; seq++ {
		m, err := stream.GetMsg(b.t.Context(), seq)
		require.NoError(b.t, err)
		r := sinktest.Received{ID: m.Header.Get(jetstream.MsgIDHeader), Key: m.Header.Get(sinktest.KeyHeader), Payload: string(m.Data), Headers: map[string]string{}}
		for name := range m.Header {
			r.Headers[name] = m.Header.Get(name)
		}
		got = append(got, r)
	}
	return got
}

// delivery is a message as the queue hands it to the sink.
func (b *bundle) delivery(id string) outbox.Delivery {
	return outbox.Delivery{Message: outbox.Message{ID: id, To: "broker", Topic: b.subject, Key: "k", Payload: []byte("payload " + id)}, Attempt: 1}
}
