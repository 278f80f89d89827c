package outbox_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
)

// A bench is a queue on a store in memory, with everything that can be seen of it.
type bench struct {
	t     *testing.T
	store *memstore.Store
	queue *outbox.Queue
	told  *told
	stop  func()
}

// told is what the queue reported.
type told struct {
	mu     sync.Mutex
	alerts []string
	events []dovetail.Event
}

func (a *told) Report(_ context.Context, p alert.Problem) error {
	a.add(fmt.Sprintf("report %s %s", p.Rule, p.Destination))
	return nil
}

func (a *told) Recovering(_ context.Context, p alert.Problem) error {
	a.add(fmt.Sprintf("recovering %s %s", p.Rule, p.Destination))
	return nil
}

func (a *told) Clear(_ context.Context, p alert.Problem, note string) error {
	a.add(fmt.Sprintf("clear %s %s: %s", p.Rule, p.Destination, note))
	return nil
}

func (a *told) Start(ctx context.Context, _ dovetail.Event) context.Context { return ctx }

func (a *told) Record(_ context.Context, e dovetail.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events = append(a.events, e)
}

func (a *told) add(line string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := len(a.alerts); n == 0 || a.alerts[n-1] != line {
		a.alerts = append(a.alerts, line)
	}
}

func (a *told) lines() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.alerts...)
}

func (a *told) count(name string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, e := range a.events {
		if e.Name == name {
			n++
		}
	}
	return n
}

// all returns every event.
func (a *told) all() []dovetail.Event {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]dovetail.Event(nil), a.events...)
}

// outcomes lists the outcomes of the deliveries.
func (a *told) outcomes() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []string
	for _, e := range a.events {
		if e.Name == "outbox.delivery" {
			out = append(out, e.Outcome)
		}
	}
	return out
}

func manager(t testing.TB) *alert.Manager {
	t.Helper()
	m, err := alert.New(alert.Config{AllowSilence: true})
	require.NoError(t, err)
	return m
}

// newBench makes a queue on store; a nil store makes a new one.
func newBench(t *testing.T, store *memstore.Store, destinations ...outbox.Destination) *bench {
	t.Helper()
	if store == nil {
		store = memstore.New()
	}
	b := &bench{t: t, store: store, told: &told{}}
	q, err := outbox.New(outbox.Config{Store: store, Destinations: destinations, Alerts: manager(t), Observer: b.told})
	require.NoError(t, err)
	outbox.SetAlerts(q, b.told)
	b.queue = q
	return b
}

// run starts the relay; the returned function ends it.
func (b *bench) run() func() {
	ctx, cancel := context.WithCancel(b.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.queue.Run(ctx) }()
	synctest.Wait()
	b.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(b.t, <-ended)
	})
	return b.stop
}

func (b *bench) send(msgs ...outbox.Message) {
	b.t.Helper()
	err := b.queue.Tx(b.t.Context(), func(ctx context.Context, tx outbox.Tx) error {
		return b.queue.Enqueue(ctx, tx, msgs...)
	})
	require.NoError(b.t, err)
}

func (b *bench) lag(name string) outbox.Lag {
	b.t.Helper()
	lags, err := b.queue.Lag(b.t.Context())
	require.NoError(b.t, err)
	for _, l := range lags {
		if l.Destination == name {
			return l
		}
	}
	require.Fail(b.t, "no lag of "+name)
	return outbox.Lag{}
}

func (b *bench) letters(f outbox.Filter) []outbox.DeadLetter {
	b.t.Helper()
	list, err := b.queue.DeadLetters(b.t.Context(), f)
	require.NoError(b.t, err)
	return list
}

// A sink is a handler that remembers, and answers as it is told.
type sink struct {
	mu     sync.Mutex
	got    []string // "id" of each successful delivery
	tries  []time.Time
	active map[string]bool
	most   int
	now    int
	answer func(d outbox.Delivery) error
	broken string
	slow   time.Duration
}

func (s *sink) Handle(ctx context.Context, d outbox.Delivery) error {
	s.mu.Lock()
	if s.active == nil {
		s.active = map[string]bool{}
	}
	if d.Key != "" && s.active[d.Key] {
		s.broken = "two of key " + d.Key + " in flight"
	}
	s.active[d.Key] = true
	s.tries = append(s.tries, time.Now())
	s.now++
	s.most = max(s.most, s.now)
	answer, slow := s.answer, s.slow
	s.mu.Unlock()
	if slow > 0 {
		select {
		case <-time.After(slow):
		case <-ctx.Done():
		}
	}
	var err error
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.now--
		delete(s.active, d.Key)
		if err == nil {
			s.got = append(s.got, d.ID)
		}
	}()
	if slow > 0 && ctx.Err() != nil {
		err = ctx.Err()
		return err
	}
	if answer != nil {
		if err = answer(d); err != nil {
			return err
		}
	}
	return nil
}

func (s *sink) set(answer func(d outbox.Delivery) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *sink) ids() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.got...)
}

// torn says that two messages of one key were in flight, peak how many were at
// most.
func (s *sink) torn() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

func (s *sink) peak() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most
}

func (s *sink) attempts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.tries)
}

// always answers every delivery with an error of a class.
func always(class dovetail.Class) func(outbox.Delivery) error {
	return func(outbox.Delivery) error { return dovetail.NewError(class, "write", "no") }
}

// failing answers the messages with the given IDs with an error of a class.
func failing(class dovetail.Class, ids ...string) func(outbox.Delivery) error {
	return func(d outbox.Delivery) error {
		if slices.Contains(ids, d.ID) {
			return dovetail.NewError(class, "write", "no")
		}
		return nil
	}
}

func msg(to, key, id string) outbox.Message {
	return outbox.Message{ID: id, To: to, Key: key, Payload: []byte(id)}
}
