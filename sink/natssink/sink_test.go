package natssink_test

import (
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/internal/sinktest"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/sink/natssink"
)

func contextFor(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

func TestNewNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := natssink.New(natssink.Config{Window: -1})
	require.EqualError(t, err, "natssink: 3 faults:\n"+
		"\tNATS001 Config.JetStream: required; jetstream.New(conn)\n"+
		"\tNATS003 Config.Stream: required; the stream that keeps the messages: \"ORDERS\"\n"+
		"\tNATS004 Config.Window, Timeout: negative; leave them zero for 2 minutes and 5 seconds")
}

func TestNewRefusesAConnectionThatGivesUp(t *testing.T) {
	t.Parallel()
	conn, err := nats.Connect("nats://127.0.0.1:1", nats.RetryOnFailedConnect(true)) // 60 attempts, the default
	require.NoError(t, err)
	defer conn.Close()
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	_, err = natssink.New(natssink.Config{JetStream: js, Stream: "ORDERS"})
	require.ErrorContains(t, err, "nats.MaxReconnects(-1)")
}

func TestAMessageArrivesWithItsHeadersAndID(t *testing.T) {
	t.Parallel()
	b := setup(t, server(t), nil)
	d := b.delivery("invoice-7")
	d.Headers = map[string]string{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=1,b=2", "x-Empty": "", "x-city": "Zürich"}
	require.NoError(t, b.sink.Handle(t.Context(), d))
	got := b.received()
	require.Len(t, got, 1)
	require.Equal(t, "payload invoice-7", got[0].Payload)
	want := map[string]string{jetstream.MsgIDHeader: "invoice-7", jetstream.ExpectedStreamHeader: b.stream}
	maps.Copy(want, d.Headers)
	require.Equal(t, want, got[0].Headers)
}

func TestSubjectIsTheCallersChoice(t *testing.T) {
	t.Parallel()
	b := setup(t, server(t), nil, func(s *jetstream.StreamConfig, c *natssink.Config) {
		prefix := strings.TrimSuffix(s.Subjects[0], ">")
		c.Subject = func(m outbox.Message) string { return prefix + m.Topic + "." + m.Key }
	})
	d := b.delivery("1")
	d.Topic, d.Key = "order", "7"
	require.NoError(t, b.sink.Handle(t.Context(), d))
	stream, err := b.js.Stream(t.Context(), b.stream)
	require.NoError(t, err)
	m, err := stream.GetMsg(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, "dovetail."+b.stream+".order.7", m.Subject)
}

func TestTheQueueKeepsTheOrderOfAKey(t *testing.T) {
	t.Parallel()
	b := setup(t, server(t), nil)
	l := sinktest.NewLine(t, b.subject, b.sink)
	l.Send(300)
	l.WaitDelivered(300)
	require.Zero(t, l.Check(b.received()), "duplicates")
	l.CheckNoAttemptBurnt()
}

func TestTheSameMessageTwiceIsStoredOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, server(t), nil)
	for range 3 {
		require.NoError(t, b.sink.Handle(t.Context(), b.delivery("1")))
	}
	require.NoError(t, b.sink.Handle(t.Context(), b.delivery("2")))
	require.Len(t, b.received(), 2)
}

func TestAnIDThatTheStreamForgotIsStoredAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, server(t), nil, func(s *jetstream.StreamConfig, _ *natssink.Config) { s.Duplicates = 100 * time.Millisecond })
	require.NoError(t, b.sink.Handle(t.Context(), b.delivery("1")))
	sinktest.Eventually(t, 30*time.Second, func() error {
		require.NoError(t, b.sink.Handle(t.Context(), b.delivery("1")))
		if n := len(b.received()); n < 2 {
			return context.DeadlineExceeded
		}
		return nil
	})
	require.ErrorContains(t, b.sink.Check(t.Context()), "forgets a message's ID after 100ms")
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	url := server(t)
	topic := func(topic string) func(*bundle, *outbox.Delivery) {
		return func(_ *bundle, d *outbox.Delivery) { d.Topic = topic }
	}
	header := func(name, value string) func(*bundle, *outbox.Delivery) {
		return func(_ *bundle, d *outbox.Delivery) { d.Headers = map[string]string{name: value} }
	}
	type change = func(*jetstream.StreamConfig, *natssink.Config)
	for name, c := range map[string]struct {
		setup   change
		message func(*bundle, *outbox.Delivery)
		class   dovetail.Class
		says    string
	}{
		"no subject":                     {nil, topic(""), dovetail.Invalid, "is not a subject"},
		"a wildcard":                     {nil, topic("a.*"), dovetail.Invalid, "is not a subject"},
		"a space":                        {nil, topic("a b"), dovetail.Invalid, "is not a subject"},
		"an empty word":                  {nil, topic("a..b"), dovetail.Invalid, "is not a subject"},
		"a line break in a header":       {nil, header("x-note", "secret\r\nNats-Rollup: all"), dovetail.Invalid, `header "x-note" unchanged`},
		"a space around a header":        {nil, header("x-note", " secret"), dovetail.Invalid, `header "x-note" unchanged`},
		"a header's name":                {nil, header("x note", "secret"), dovetail.Invalid, `header "x note" unchanged`},
		"a header for the server":        {nil, header("nats-rollup", "secret"), dovetail.Invalid, "the server would act on header"},
		"another ID":                     {func(_ *jetstream.StreamConfig, c *natssink.Config) { c.AllowServerHeaders = true }, header("Nats-Msg-Id", "secret"), dovetail.Invalid, "the server would act on header"},
		"more headers than NATS takes":   {nil, header("x-note", strings.Repeat("s", 70_000)), dovetail.Invalid, "70010 bytes of headers"},
		"a line break in the ID":         {nil, func(_ *bundle, d *outbox.Delivery) { d.ID = "a\nb" }, dovetail.Invalid, "cannot carry this ID"},
		"larger than the server takes":   {nil, func(_ *bundle, d *outbox.Delivery) { d.Payload = make([]byte, 1<<20) }, dovetail.Invalid, "max_payload"},
		"larger than the stream takes":   {func(s *jetstream.StreamConfig, _ *natssink.Config) { s.MaxMsgSize = 500 }, func(_ *bundle, d *outbox.Delivery) { d.Payload = make([]byte, 501) }, dovetail.Invalid, "max_msg_size"},
		"a subject that no stream takes": {nil, topic("dovetail.nobody.takes.this"), dovetail.Permanent, "no stream takes it; add it to the subjects of stream"},
		"no stream": {nil, func(b *bundle, _ *outbox.Delivery) {
			require.NoError(b.t, b.js.DeleteStream(b.t.Context(), b.stream))
		}, dovetail.Permanent, "does not exist; create it"},
		"a subject of another stream": {nil, func(b *bundle, d *outbox.Delivery) { d.Topic = setup(b.t, url, nil).subject }, dovetail.Permanent, "another stream takes the subject"},
		"a sealed stream": {nil, func(b *bundle, _ *outbox.Delivery) {
			_, err := b.js.UpdateStream(b.t.Context(), jetstream.StreamConfig{Name: b.stream, Subjects: []string{"dovetail." + b.stream + ".>"}, Sealed: true})
			require.NoError(b.t, err)
		}, dovetail.Permanent, ""},
		"a full stream": {func(s *jetstream.StreamConfig, _ *natssink.Config) { s.MaxMsgs, s.Discard = 1, jetstream.DiscardNew }, func(b *bundle, _ *outbox.Delivery) {
			require.NoError(b.t, b.sink.Handle(b.t.Context(), b.delivery("before")))
		}, dovetail.Unavailable, "maximum messages exceeded"},
		"a full subject": {func(s *jetstream.StreamConfig, _ *natssink.Config) {
			s.MaxMsgsPerSubject, s.Discard, s.DiscardNewPerSubject = 1, jetstream.DiscardNew, true
		}, func(b *bundle, _ *outbox.Delivery) {
			require.NoError(b.t, b.sink.Handle(b.t.Context(), b.delivery("before")))
		}, dovetail.Transient, "limits the messages of a subject"},
		"a responder that is no stream": {nil, func(b *bundle, d *outbox.Delivery) {
			d.Topic = nats.NewInbox()
			sub, err := b.js.Conn().Subscribe(d.Topic, func(m *nats.Msg) { _ = m.Respond([]byte("hello")) })
			require.NoError(b.t, err)
			b.t.Cleanup(func() { _ = sub.Unsubscribe() })
		}, dovetail.Permanent, "somebody who is no stream"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var changes []change
			if c.setup != nil {
				changes = append(changes, c.setup)
			}
			b := setup(t, url, nil, changes...)
			d := b.delivery("invoice-7")
			c.message(b, &d)
			err := b.sink.Handle(t.Context(), d)
			require.Equal(t, c.class.String(), dovetail.Classify(err).String(), "%v", err)
			require.ErrorContains(t, err, c.says)
			require.NotContains(t, err.Error(), "secret")
			require.NotContains(t, err.Error(), "payload invoice")
		})
	}
}

func TestServerHeadersPassWhenAllowed(t *testing.T) {
	t.Parallel()
	b := setup(t, server(t), nil, func(_ *jetstream.StreamConfig, c *natssink.Config) { c.AllowServerHeaders = true })
	d := b.delivery("2")
	d.Headers = map[string]string{"Nats-Expected-Last-Msg-Id": "1"}
	err := b.sink.Handle(t.Context(), d)
	require.Equal(t, dovetail.Conflict, dovetail.Classify(err), "%v", err)
	require.NoError(t, b.sink.Handle(t.Context(), b.delivery("1")))
	require.NoError(t, b.sink.Handle(t.Context(), d))
}

func TestCheckNamesTheProblem(t *testing.T) {
	t.Parallel()
	url := server(t)
	for name, c := range map[string]struct {
		setup func(*jetstream.StreamConfig, *natssink.Config)
		says  string
	}{
		"sound":            {func(*jetstream.StreamConfig, *natssink.Config) {}, ""},
		"forgets too soon": {func(_ *jetstream.StreamConfig, c *natssink.Config) { c.Window = time.Hour }, "forgets a message's ID after 2m0s, and Config.Window is 1h0m0s"},
		"no stream":        {func(_ *jetstream.StreamConfig, c *natssink.Config) { c.Stream += "X" }, "does not exist"},
		"no acks":          {func(s *jetstream.StreamConfig, _ *natssink.Config) { s.NoAck = true }, "acknowledges nothing"},
		"a mirror": {func(s *jetstream.StreamConfig, _ *natssink.Config) {
			s.Subjects, s.Mirror = nil, &jetstream.StreamSource{Name: "T"}
		}, "is a mirror"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := setup(t, url, nil, c.setup).sink.Check(t.Context())
			if c.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.says)
		})
	}
}
