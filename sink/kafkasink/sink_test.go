package kafkasink_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/internal/sinktest"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/sink/kafkasink"
)

func TestNewNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := kafkasink.New(kafkasink.Config{Timeout: -1})
	require.ErrorContains(t, err, "kafkasink: 2 faults")
	client, err := kgo.NewClient(
		kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite(), kgo.ManualFlushing(),
		kgo.DefaultProduceTopic("t"), kgo.DefaultProduceTopicAlways(), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()),
	)
	require.NoError(t, err)
	defer client.Close()
	_, err = kafkasink.New(kafkasink.Config{Client: client})
	require.ErrorContains(t, err, "kafkasink: 5 faults")
	for _, code := range []string{"KAFKA002", "KAFKA003", "KAFKA005", "KAFKA006", "KAFKA007"} {
		require.ErrorContains(t, err, code)
	}
	transactional, err := kgo.NewClient(kgo.TransactionalID("t"))
	require.NoError(t, err)
	defer transactional.Close()
	_, err = kafkasink.New(kafkasink.Config{Client: transactional})
	require.ErrorContains(t, err, "KAFKA004")
	plain, err := kgo.NewClient()
	require.NoError(t, err)
	defer plain.Close()
	_, err = kafkasink.New(kafkasink.Config{Client: plain})
	require.NoError(t, err, "what the client does by itself is sound")
}

func TestAMessageArrivesWithItsHeadersAndID(t *testing.T) {
	t.Parallel()
	b := setup(t, 0)
	d := b.delivery("invoice-7")
	d.Headers = map[string]string{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=1,b=2", "x-empty": "", "x-lines": " a\r\nb "}
	require.NoError(t, b.sink.Handle(t.Context(), d))
	unkeyed := b.delivery("8")
	unkeyed.Key = ""
	require.NoError(t, b.sink.Handle(t.Context(), unkeyed))
	for _, r := range b.records() {
		if string(r.Value) == "payload 8" {
			require.Nil(t, r.Key)
			continue
		}
		require.Equal(t, "payload invoice-7", string(r.Value))
		require.Equal(t, "k", string(r.Key))
		got := map[string]string{}
		for _, h := range r.Headers {
			got[h.Key] = string(h.Value)
		}
		d.Headers["message-id"] = "invoice-7"
		require.Equal(t, d.Headers, got)
	}
}

func TestTopicIsTheCallersChoice(t *testing.T) {
	t.Parallel()
	b := setup(t, 0)
	sink, err := kafkasink.New(kafkasink.Config{Client: b.client, Topic: func(outbox.Message) string { return b.topic }, IDHeader: "id"})
	require.NoError(t, err)
	d := b.delivery("1")
	d.Topic = "order created"
	require.NoError(t, sink.Handle(t.Context(), d))
	require.Equal(t, map[string]string{"id": "1"}, b.received()[0].Headers)
}

func TestTheQueueKeepsTheOrderOfAKey(t *testing.T) {
	t.Parallel()
	b := setup(t, 0)
	l := sinktest.NewLine(t, b.topic, b.sink)
	l.Send(300)
	l.WaitDelivered(300)
	require.Zero(t, l.Check(b.received()), "duplicates")
	l.CheckNoAttemptBurnt()
	home := map[string]int32{}
	for _, r := range b.records() {
		if p, ok := home[string(r.Key)]; ok {
			require.Equal(t, p, r.Partition, "a key has one partition")
		}
		home[string(r.Key)] = r.Partition
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	answer := func(err *kerr.Error) func(*bundle, *outbox.Delivery) {
		return func(b *bundle, _ *outbox.Delivery) {
			b.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: err, Count: -1})
		}
	}
	topic := func(topic string) func(*bundle, *outbox.Delivery) {
		return func(_ *bundle, d *outbox.Delivery) { d.Topic = topic }
	}
	for name, c := range map[string]struct {
		message func(*bundle, *outbox.Delivery)
		class   dovetail.Class
		says    string
	}{
		"no topic":          {topic(""), dovetail.Invalid, "is not a topic"},
		"a space":           {topic("order created"), dovetail.Invalid, "is not a topic"},
		"too long":          {topic(strings.Repeat("t", 250)), dovetail.Invalid, "is not a topic"},
		"a folder":          {topic(".."), dovetail.Invalid, "is not a topic"},
		"an unknown topic":  {topic("nobody-made-this"), dovetail.Permanent, "create the topic"},
		"another ID":        {func(_ *bundle, d *outbox.Delivery) { d.Headers = map[string]string{"message-id": "secret"} }, dovetail.Invalid, "holds the message's ID"},
		"too large for us":  {func(_ *bundle, d *outbox.Delivery) { d.Payload = make([]byte, 2<<20) }, dovetail.Invalid, "max.message.bytes"},
		"too large":         {answer(kerr.MessageTooLarge), dovetail.Invalid, "max.message.bytes"},
		"an invalid record": {answer(kerr.InvalidRecord), dovetail.Invalid, "Message.Key"},
		"a topic not ours":  {answer(kerr.TopicAuthorizationFailed), dovetail.Auth, "allow the client's user"},
		"a policy":          {answer(kerr.PolicyViolation), dovetail.Permanent, "POLICY_VIOLATION"},
		"a strange refusal": {answer(kerr.InvalidConfig), dovetail.Permanent, "INVALID_CONFIG"},
		"an unknown error":  {answer(kerr.UnknownServerError), dovetail.Transient, "UNKNOWN_SERVER_ERROR"},
		"too few replicas":  {answer(kerr.NotEnoughReplicas), dovetail.Unavailable, "no acknowledgement in time"},
		"a full disk":       {answer(kerr.KafkaStorageError), dovetail.Unavailable, "no acknowledgement in time"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 3*time.Second)
			d := b.delivery("invoice-7")
			d.Key = "secret"
			c.message(b, &d)
			err := b.sink.Handle(t.Context(), d)
			require.Equal(t, c.class.String(), dovetail.Classify(err).String(), "%v", err)
			require.ErrorContains(t, err, c.says)
			require.NotContains(t, err.Error(), "secret")
			require.NotContains(t, err.Error(), "payload invoice")
		})
	}
}

func TestAnUnknownTopicIsADeadLetterAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, 5*time.Second)
	l := sinktest.NewLine(t, "nobody-made-this", b.sink)
	l.Send(1)
	require.Equal(t, dovetail.Permanent, dovetail.Classify(l.WaitFailure(0)))
	sinktest.Eventually(t, 10*time.Second, func() error {
		if len(l.Dead()) != 1 {
			return kerr.UnknownTopicOrPartition
		}
		return nil
	})
	require.Equal(t, "UNKNOWN_TOPIC_OR_PARTITION", l.Dead()[0].Code)
}

func TestRefusedCredentialsAreNamed(t *testing.T) {
	t.Parallel()
	b := setup(t, 3*time.Second, kfake.EnableSASL(), kfake.Superuser("PLAIN", "me", "right-secret"))
	sink := func(password string) *kafkasink.Sink {
		client := b.connect(kgo.SASL(plain.Auth{User: "me", Pass: password}.AsMechanism()))
		sink, err := kafkasink.New(kafkasink.Config{Client: client, Timeout: 3 * time.Second})
		require.NoError(t, err)
		return sink
	}
	require.NoError(t, sink("right-secret").Check(t.Context()))
	require.NoError(t, sink("right-secret").Handle(t.Context(), b.delivery("1")))
	// What a real broker says before it hangs up.
	b.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.SASLAuthenticate}, TopLevel: true, Err: kerr.SaslAuthenticationFailed, Count: -1})
	wrong := sink("wrong-secret")
	for _, err := range []error{wrong.Check(t.Context()), wrong.Handle(t.Context(), b.delivery("2"))} {
		require.Equal(t, dovetail.Auth, dovetail.Classify(err), "%v", err)
		require.NotContains(t, err.Error(), "secret")
	}
}
