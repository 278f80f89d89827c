package watermillsink_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/internal/sinktest"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/sink/watermillsink"
)

// A moody publisher is Watermill's own in memory, but for what before does
// first.
type moody struct {
	*gochannel.GoChannel

	mu     sync.Mutex
	before func(m *message.Message) error
	calls  int
}

func (p *moody) Publish(topic string, messages ...*message.Message) error {
	p.mu.Lock()
	before := p.before
	p.calls++
	p.mu.Unlock()
	if before != nil {
		if err := before(messages[0]); err != nil {
			return err
		}
	}
	return p.GoChannel.Publish(topic, messages...)
}

func (p *moody) be(before func(m *message.Message) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before = before
}

func (p *moody) called() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls
}

// A bundle is a publisher and what its subscriber got.
type bundle struct {
	publisher *moody
	sink      *watermillsink.Sink

	mu  sync.Mutex
	got []sinktest.Received
}

func setup(t *testing.T, change ...func(*watermillsink.Config)) *bundle {
	t.Helper()
	b := &bundle{publisher: &moody{GoChannel: gochannel.NewGoChannel(gochannel.Config{BlockPublishUntilSubscriberAck: true}, watermill.NopLogger{})}}
	messages, err := b.publisher.Subscribe(context.Background(), "orders")
	require.NoError(t, err)
	var reader sync.WaitGroup
	reader.Go(func() {
		for m := range messages {
			r := sinktest.Received{ID: m.UUID, Key: m.Metadata.Get(sinktest.KeyHeader), Payload: string(m.Payload), Headers: m.Metadata}
			b.mu.Lock()
			b.got = append(b.got, r)
			b.mu.Unlock()
			m.Ack()
		}
	})
	config := watermillsink.Config{Publisher: b.publisher, Timeout: 2 * time.Second}
	for _, f := range change {
		f(&config)
	}
	b.sink, err = watermillsink.New(config)
	require.NoError(t, err)
	t.Cleanup(func() {
		b.publisher.be(nil)
		require.NoError(t, b.publisher.Close())
		reader.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, b.sink.Wait(ctx))
	})
	return b
}

func (b *bundle) received() []sinktest.Received {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.got
}

func delivery(id string) outbox.Delivery {
	return outbox.Delivery{Message: outbox.Message{ID: id, To: "broker", Topic: "orders", Key: "k", Payload: []byte("payload " + id)}, Attempt: 1}
}

func TestNewNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := watermillsink.New(watermillsink.Config{Timeout: -1})
	require.EqualError(t, err, "watermillsink: 2 faults:\n"+
		"\tMILL001 Config.Publisher: required; a message.Publisher of Watermill\n"+
		"\tMILL002 Config.Timeout: negative; leave it zero for 10 seconds")
}

func TestAMessageArrivesWithItsHeadersAndID(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *watermillsink.Config) { c.KeyMetadata = "partition-key" })
	d := delivery("invoice-7")
	d.Headers = map[string]string{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x-empty": ""}
	require.NoError(t, b.sink.Handle(t.Context(), d))
	require.Equal(t, []sinktest.Received{{ID: "invoice-7", Payload: "payload invoice-7", Headers: map[string]string{
		"traceparent": d.Headers["traceparent"], "x-empty": "", "partition-key": "k",
	}}}, b.received())
}

func TestTopicIsTheCallersChoice(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *watermillsink.Config) { c.Topic = func(outbox.Message) string { return "orders" } })
	d := delivery("1")
	d.Topic = "anything"
	require.NoError(t, b.sink.Handle(t.Context(), d))
	require.Len(t, b.received(), 1)
}

func TestTheQueueKeepsTheOrderOfAKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	l := sinktest.NewLine(t, "orders", b.sink)
	l.Send(300)
	l.WaitDelivered(300)
	require.Zero(t, l.Check(b.received()), "duplicates")
	l.CheckNoAttemptBurnt()
}

func TestDowntimeBurnsNoAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	l := sinktest.NewLine(t, "orders", b.sink)
	l.Send(100)
	l.WaitDelivered(20)
	b.publisher.be(func(*message.Message) error {
		return fmt.Errorf("publish: %w", &net.OpError{Op: "dial", Err: errors.New("connection refused")})
	})
	l.Send(100)
	require.Equal(t, dovetail.Unavailable, dovetail.Classify(l.WaitFailure(0)))
	l.WaitFailure(3)
	b.publisher.be(nil)
	l.WaitDelivered(200)
	require.Zero(t, l.Check(b.received()), "duplicates")
	l.CheckNoAttemptBurnt()
}

// The publisher ignores its context; nobody calls it again for the message that it
// sits on.
func TestAPublisherThatHangsIsNotCalledAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *watermillsink.Config) { c.Timeout = 50 * time.Millisecond })
	stuck := make(chan struct{})
	b.publisher.be(func(*message.Message) error { <-stuck; return nil })
	for range 5 {
		began := time.Now()
		err := b.sink.Handle(t.Context(), delivery("1"))
		require.Equal(t, dovetail.Unavailable, dovetail.Classify(err))
		require.ErrorContains(t, err, "did not return in time")
		require.Less(t, time.Since(began), 5*time.Second)
	}
	require.Equal(t, 1, b.publisher.called())
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorContains(t, b.sink.Wait(ended), "1 messages were handed to the publisher")
	close(stuck)
	sinktest.Eventually(t, 10*time.Second, func() error { return b.sink.Handle(t.Context(), delivery("1")) })
	require.Equal(t, 1, b.publisher.called())
	require.Len(t, b.received(), 1)
}

// The failure of a call that an earlier attempt had given up is no news: the next
// attempt publishes.
func TestACallThatFailedLateIsMadeAnew(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *watermillsink.Config) { c.Timeout = 200 * time.Millisecond })
	given := make(chan struct{})
	b.publisher.be(func(m *message.Message) error { <-given; return m.Context().Err() })
	require.Equal(t, dovetail.Unavailable, dovetail.Classify(b.sink.Handle(t.Context(), delivery("1"))))
	close(given)
	require.NoError(t, b.sink.Wait(t.Context()))
	b.publisher.be(nil)
	require.NoError(t, b.sink.Handle(t.Context(), delivery("1")))
	require.Len(t, b.received(), 1)
}

func TestAPanicOfThePublisherReachesTheQueue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publisher.be(func(*message.Message) error { panic("no broker") })
	func() {
		defer func() {
			text, _ := recover().(string)
			require.Contains(t, text, "no broker")
			require.Contains(t, text, "sink_test.go", "with the stack of the publisher")
		}()
		_ = b.sink.Handle(t.Context(), delivery("1")) // it panics
	}()
	b.publisher.be(func(*message.Message) error { runtime.Goexit(); return nil })
	require.ErrorContains(t, b.sink.Handle(t.Context(), delivery("1")), "ended its goroutine")
	b.publisher.be(nil)
	require.NoError(t, b.sink.Handle(t.Context(), delivery("1")))
}

func TestErrorsAreClassified(t *testing.T) {
	t.Parallel()
	tooLarge := errors.New("too large")
	for name, c := range map[string]struct {
		message func(*outbox.Delivery)
		err     error
		class   dovetail.Class
	}{
		"no topic":           {func(d *outbox.Delivery) { d.Topic = "" }, nil, dovetail.Invalid},
		"the key's metadata": {func(d *outbox.Delivery) { d.Headers = map[string]string{"partition-key": "secret"} }, nil, dovetail.Invalid},
		"end of connection":  {nil, fmt.Errorf("publish: %w", io.ErrUnexpectedEOF), dovetail.Unavailable},
		"out of time":        {nil, context.DeadlineExceeded, dovetail.Unavailable},
		"the caller knows":   {nil, fmt.Errorf("publish: %w", tooLarge), dovetail.Invalid},
		"the error knows":    {nil, dovetail.NewError(dovetail.RateLimited, "publish", "slow down"), dovetail.RateLimited},
		"nobody knows":       {nil, errors.New("broken"), dovetail.Transient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(config *watermillsink.Config) {
				config.KeyMetadata = "partition-key"
				config.Class = func(err error) dovetail.Class {
					if errors.Is(err, tooLarge) {
						return dovetail.Invalid
					}
					return dovetail.Unclassified
				}
			})
			b.publisher.be(func(*message.Message) error { return c.err })
			d := delivery("invoice-7")
			if c.message != nil {
				c.message(&d)
			}
			err := b.sink.Handle(t.Context(), d)
			require.Equal(t, c.class.String(), dovetail.Classify(err).String(), "%v", err)
			require.ErrorContains(t, err, "invoice-7")
			require.False(t, strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "payload"))
		})
	}
}

// A message that is discarded, or goes on at another relay, never asks for its
// call again.
func TestCallsThatNobodyAsksForAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *watermillsink.Config) { c.Timeout = 100 * time.Millisecond })
	stuck := make(chan struct{})
	b.publisher.be(func(*message.Message) error { <-stuck; return errors.New("no") })
	const n = 1500
	errs := make(chan error, n)
	for i := range n {
		go func() { errs <- b.sink.Handle(t.Context(), delivery(fmt.Sprint(i))) }()
	}
	for range n {
		require.Equal(t, dovetail.Unavailable, dovetail.Classify(<-errs))
	}
	close(stuck)
	require.NoError(t, b.sink.Wait(t.Context()))
	require.Error(t, b.sink.Handle(t.Context(), delivery("next")))
	require.Zero(t, watermillsink.InFlight(b.sink))
}
