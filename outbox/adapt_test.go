package outbox_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
)

// A server takes so many calls at once, and becomes slow or refuses beyond.
type server struct {
	mu      sync.Mutex
	room    int
	refuses *dovetail.Error // nil: it becomes slow
	now     int
	most    int // after the first thousand
	calls   int
	refused int
}

func (s *server) Handle(context.Context, outbox.Delivery) error {
	s.mu.Lock()
	s.now++
	if s.calls++; s.calls > 1000 {
		s.most = max(s.most, s.now)
	}
	now, room, refuses := s.now, s.room, s.refuses
	s.mu.Unlock()
	took := 10 * time.Millisecond
	switch {
	case now > room && refuses != nil:
		took = time.Millisecond
	case now > room:
		took = took * time.Duration(now) / time.Duration(room)
	}
	time.Sleep(took)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now--
	if now > room && refuses != nil {
		s.refused++
		return refuses
	}
	return nil
}

// serve delivers 5,000 messages to s and returns how long it took.
func serve(t *testing.T, s *server, d outbox.Destination) time.Duration {
	d.Name, d.Handler, d.Order, d.Attempts = "a", s, outbox.Unordered, 1000
	b := newBench(t, nil, d)
	defer b.run()()
	b.sendMany("a", 5000, 0)
	began := time.Now()
	for b.lag("a").Waiting+b.lag("a").Parked > 0 {
		time.Sleep(100 * time.Millisecond)
		require.Less(t, time.Since(began), time.Hour)
	}
	return time.Since(began)
}

func TestAdaptConcurrencyFindsWhatTheSystemTakes(t *testing.T) {
	t.Parallel()
	for name, refuses := range map[string]*dovetail.Error{
		"slow":         nil,
		"rate-limited": {Fault: dovetail.RateLimited, Op: "write", After: 20 * time.Millisecond},
		"transient":    {Fault: dovetail.Transient, Op: "write"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &server{room: 8, refuses: refuses}
				took := serve(t, s, outbox.Destination{Concurrency: 64, AdaptConcurrency: true, Backoff: outbox.Backoff{Base: 50 * time.Millisecond, Cap: 50 * time.Millisecond}})
				require.LessOrEqual(t, s.most, 32, "it does not press on: half of what it may")
				require.Less(t, s.refused, 500, "a tenth at most is refused")
				require.Less(t, took, 15*time.Second, "and what the system takes is used: it could do it in 6.25 s")
			})
		})
	}
}

func TestAdaptConcurrencyUsesAllOfASystemAtEase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &server{room: 1000}
		took := serve(t, s, outbox.Destination{Concurrency: 64, AdaptConcurrency: true})
		require.Equal(t, 64, s.most, "never more than Concurrency")
		require.Less(t, took, 1500*time.Millisecond, "64 at once could do it in 0.8 s")
	})
}

func TestConcurrencyIsFixedUnlessAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &server{room: 8}
		serve(t, s, outbox.Destination{Concurrency: 64})
		require.Equal(t, 64, s.most)
	})
}

func TestAdaptConcurrencyNeverEndsBelowOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		s.set(always(dovetail.Transient))
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s, Concurrency: 8, AdaptConcurrency: true, Attempts: 1000, Backoff: outbox.Backoff{Base: time.Second, Cap: time.Second}})
		defer b.run()()
		for i := range 100 {
			b.send(msg("a", "", fmt.Sprint(i)))
		}
		time.Sleep(time.Minute)
		s.set(nil)
		time.Sleep(time.Minute)
		require.Len(t, s.ids(), 100)
	})
}
