package amqpsink_test

import (
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/internal/sinktest"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/sink/amqpsink"
)

func TestNewNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := amqpsink.New(amqpsink.Config{Exchange: strings.Repeat("x", 256), ContentType: strings.Repeat("x", 256), Timeout: -1})
	require.ErrorContains(t, err, "amqpsink: 4 faults")
	_, err = amqpsink.New(amqpsink.Config{URL: "amqp://me:top secret@host"})
	require.ErrorContains(t, err, "AMQP002 Config.URL: is not an AMQP URL")
	require.NotContains(t, err.Error(), "secret")
}

func TestAMessageArrivesWithItsHeadersAndID(t *testing.T) {
	t.Parallel()
	b := setup(t, server(t), "", nil, func(c *amqpsink.Config) { c.ContentType = "application/json" })
	d := b.delivery("invoice-7")
	d.Headers = map[string]string{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=1,b=2", "x-empty": "", "x-lines": " a\r\nb "}
	require.NoError(t, b.handle(b.sink, d))
	b.with(func(ch *amqp.Channel) {
		got, ok, err := ch.Get(b.name, true)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, "payload invoice-7", string(got.Body))
		require.Equal(t, "invoice-7", got.MessageId)
		require.Equal(t, b.name, got.Type)
		require.Equal(t, "application/json", got.ContentType)
		require.EqualValues(t, amqp.Persistent, got.DeliveryMode)
		require.True(t, d.Enqueued.Equal(got.Timestamp))
		want := amqp.Table{}
		for name, value := range d.Headers {
			want[name] = value
		}
		require.Equal(t, want, got.Headers)
	})
}

func TestRoutingKeyIsTheCallersChoice(t *testing.T) {
	t.Parallel()
	url := server(t)
	b := setup(t, url, "", nil)
	sink := b.open(amqpsink.Config{URL: url, RoutingKey: func(m outbox.Message) string { return m.Key }}) // the default exchange
	d := b.delivery("1")
	d.Topic, d.Key = "anything", b.name
	require.NoError(t, b.handle(sink, d))
	require.Len(t, b.received(), 1)
}

func TestTheQueueKeepsTheOrderOfAKey(t *testing.T) {
	t.Parallel()
	b := setup(t, server(t), "", nil)
	l := sinktest.NewLine(t, b.name, b.sink)
	l.Send(300)
	l.WaitDelivered(300)
	require.Zero(t, l.Check(b.received()), "duplicates")
	l.CheckNoAttemptBurnt()
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	url := server(t)
	for name, c := range map[string]struct {
		arguments amqp.Table
		message   func(*bundle, *outbox.Delivery)
		class     dovetail.Class
		says      string
	}{
		"unroutable": {nil, func(_ *bundle, d *outbox.Delivery) { d.Topic = "nobody" }, dovetail.Permanent, `takes the routing key "nobody" (312 NO_ROUTE)`},
		"no exchange": {nil, func(b *bundle, _ *outbox.Delivery) {
			b.with(func(ch *amqp.Channel) { require.NoError(b.t, ch.ExchangeDelete(b.name, false, false)) })
		}, dovetail.Permanent, "the exchange does not exist"},
		"a full queue": {amqp.Table{"x-max-length": 1, "x-overflow": "reject-publish"}, func(b *bundle, _ *outbox.Delivery) {
			require.NoError(b.t, b.handle(b.sink, b.delivery("before")))
		}, dovetail.Unavailable, "a queue refused it"},
		"an ID above 255 bytes":   {nil, func(_ *bundle, d *outbox.Delivery) { d.ID = strings.Repeat("i", 256) }, dovetail.Invalid, "its ID is too long"},
		"a topic above 255 bytes": {nil, func(_ *bundle, d *outbox.Delivery) { d.Topic = strings.Repeat("i", 256) }, dovetail.Invalid, "its topic is too long"},
		"a header's name":         {nil, func(_ *bundle, d *outbox.Delivery) { d.Headers = map[string]string{strings.Repeat("h", 256): "secret"} }, dovetail.Invalid, "AMQP cannot carry header"},
		"a header that routes":    {nil, func(_ *bundle, d *outbox.Delivery) { d.Headers = map[string]string{"CC": "secret"} }, dovetail.Invalid, `would route by header "CC"`},
		"more headers than fit a frame": {nil, func(_ *bundle, d *outbox.Delivery) {
			d.Headers = map[string]string{"h": strings.Repeat("secret", 30_000)}
		}, dovetail.Invalid, "frame_max"},
		"as many headers as fit a frame": {nil, func(_ *bundle, d *outbox.Delivery) { d.Headers = map[string]string{"h": strings.Repeat("s", 130_000)} }, dovetail.Unclassified, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, url, "", c.arguments)
			d := b.delivery("invoice-7")
			c.message(b, &d)
			err := b.handle(b.sink, d)
			if c.says == "" {
				require.NoError(t, err)
				return
			}
			require.Equal(t, c.class.String(), dovetail.Classify(err).String(), "%v", err)
			require.ErrorContains(t, err, c.says)
			for _, private := range []string{"secret", "payload", "guest"} {
				require.NotContains(t, err.Error(), private)
			}
			// The sink goes on with the next.
			b.with(func(ch *amqp.Channel) {
				require.NoError(t, ch.ExchangeDeclare(b.name, amqp.ExchangeDirect, true, false, false, false, nil))
				require.NoError(t, ch.QueueBind(b.name, b.name, b.name, false, nil))
				_, err := ch.QueuePurge(b.name, false)
				require.NoError(t, err)
			})
			require.NoError(t, b.handle(b.sink, b.delivery("next")))
		})
	}
}

func TestUnroutableIsADeadLetterAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, server(t), "", nil)
	l := sinktest.NewLine(t, "nobody", b.sink)
	l.Send(1)
	require.Equal(t, dovetail.Permanent, dovetail.Classify(l.WaitFailure(0)))
	sinktest.Eventually(t, 10*time.Second, func() error {
		if len(l.Dead()) != 1 {
			return amqp.ErrClosed
		}
		return nil
	})
	require.Equal(t, "unroutable", l.Dead()[0].Code)
}

func TestCheckNamesTheProblem(t *testing.T) {
	t.Parallel()
	url := server(t)
	b := setup(t, url, "", nil)
	require.NoError(t, b.sink.Check(t.Context()))
	require.NoError(t, b.open(amqpsink.Config{URL: url}).Check(t.Context()))
	require.ErrorContains(t, b.open(amqpsink.Config{URL: url, Exchange: b.name + "X"}).Check(t.Context()), "AMQP010")
	err := b.open(amqpsink.Config{URL: "amqp://guest:wrong-secret@" + strings.SplitN(url, "@", 2)[1], Exchange: b.name}).Check(t.Context())
	require.Equal(t, dovetail.Auth, dovetail.Classify(err), "%v", err)
	require.NotContains(t, err.Error(), "secret")
}
