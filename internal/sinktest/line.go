package sinktest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
)

// KeyHeader carries a message's key, since not every broker has a place for it.
const KeyHeader = "test-key"

// Received is a message as the broker handed it out.
type Received struct {
	ID, Key string
	Payload string
	Headers map[string]string
}

// A Line is a running queue with one destination, and what became of its
// messages.
type Line struct {
	t     testing.TB
	queue *outbox.Queue
	topic string
	want  map[string][]string // the IDs of each key, in the order of their commits

	mu        sync.Mutex
	delivered int
	attempts  int // the highest
	failures  []error
}

// quiet is an observer that says nothing.
type quiet struct{}

func (quiet) Start(ctx context.Context, _ dovetail.Event) context.Context { return ctx }
func (quiet) Record(context.Context, dovetail.Event)                      {}

// NewLine returns a line that delivers to h until the test ends. Its messages
// have the topic.
func NewLine(t testing.TB, topic string, h outbox.Handler) *Line {
	t.Helper()
	l := &Line{t: t, topic: topic, want: map[string][]string{}}
	alerts, err := alert.New(alert.Config{AllowSilence: true})
	if err != nil {
		t.Fatal(err)
	}
	l.queue, err = outbox.New(outbox.Config{
		Store: memstore.New(), Alerts: alerts, Observer: quiet{}, PollMax: 20 * time.Millisecond,
		Destinations: []outbox.Destination{{
			Name: "broker", ProbeEvery: 100 * time.Millisecond, Timeout: 10 * time.Second,
			Backoff: outbox.Backoff{Base: time.Millisecond, Cap: 10 * time.Millisecond},
			Handler: outbox.HandlerFunc(func(ctx context.Context, d outbox.Delivery) error {
				err := h.Handle(ctx, d)
				l.note(d, err)
				return err
			}),
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.queue.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l
}

func (l *Line) note(d outbox.Delivery, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attempts = max(l.attempts, d.Attempt)
	if err == nil {
		l.delivered++
	} else {
		l.failures = append(l.failures, err)
	}
}

// Send commits n messages over five keys, each in a transaction of its own.
func (l *Line) Send(n int) {
	l.t.Helper()
	for range n {
		i := l.Sent()
		key := fmt.Sprint("key", i%5)
		m := outbox.Message{
			ID: strconv.Itoa(i), To: "broker", Topic: l.topic, Key: key, Payload: []byte("payload " + strconv.Itoa(i)),
			Headers: map[string]string{KeyHeader: key, "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		}
		l.Post(m)
	}
}

// Post commits one message.
func (l *Line) Post(m outbox.Message) {
	l.t.Helper()
	m.To = "broker"
	err := l.queue.Tx(l.t.Context(), func(ctx context.Context, tx outbox.Tx) error { return l.queue.Enqueue(ctx, tx, m) })
	if err != nil {
		l.t.Fatal(err)
	}
	l.want[m.Key] = append(l.want[m.Key], m.ID)
}

// Sent returns how many messages were committed.
func (l *Line) Sent() int {
	n := 0
	for _, ids := range l.want {
		n += len(ids)
	}
	return n
}

// Delivered returns how many deliveries succeeded.
func (l *Line) Delivered() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.delivered
}

// Failures returns every error of the handler so far.
func (l *Line) Failures() []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.failures)
}

// WaitDelivered waits until n deliveries succeeded.
func (l *Line) WaitDelivered(n int) {
	l.t.Helper()
	Eventually(l.t, time.Minute, func() error {
		if got := l.Delivered(); got < n {
			return fmt.Errorf("%d of %d delivered; %d dead letters, last failure: %w", got, n, len(l.Dead()), last(l.Failures()))
		}
		return nil
	})
}

// WaitFailure waits for a failure after the first n, and returns it.
func (l *Line) WaitFailure(n int) error {
	l.t.Helper()
	Eventually(l.t, time.Minute, func() error {
		if len(l.Failures()) <= n {
			return fmt.Errorf("no failure after the first %d", n)
		}
		return nil
	})
	return l.Failures()[n]
}

// Dead returns the dead letters.
func (l *Line) Dead() []outbox.DeadLetter {
	l.t.Helper()
	list, err := l.queue.DeadLetters(l.t.Context(), outbox.Filter{})
	if err != nil {
		l.t.Fatal(err)
	}
	return list
}

// CheckNoAttemptBurnt fails the test if a message was tried a second time as one
// that failed by its own fault.
func (l *Line) CheckNoAttemptBurnt() {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.attempts != 1 {
		l.t.Fatalf("attempt %d was made, but downtime burns none", l.attempts)
	}
}

// Check compares what arrived with what was committed: nothing lost, nothing
// invented, each key in order by the first arrival of its messages. It returns how
// many arrived again.
func (l *Line) Check(got []Received) (duplicates int) {
	l.t.Helper()
	order := map[string][]string{}
	for _, r := range got {
		if slices.Contains(order[r.Key], r.ID) {
			duplicates++
			continue
		}
		order[r.Key] = append(order[r.Key], r.ID)
	}
	if !maps.EqualFunc(l.want, order, slices.Equal) {
		l.t.Fatalf("what arrived is not what was committed, key by key and in order:\nwant %v\ngot  %v", l.want, order)
	}
	return duplicates
}

// Eventually waits until f returns nil, and fails the test with what f said
// last.
func Eventually(t testing.TB, within time.Duration, f func() error) {
	t.Helper()
	late := time.NewTimer(within)
	defer late.Stop()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-late.C:
			t.Fatalf("not within %s: %v", within, err)
		}
	}
}

var errNone = errors.New("none")

func last(list []error) error {
	if len(list) == 0 {
		return errNone
	}
	return list[len(list)-1]
}
