package outbox_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
)

func TestCommittedIsDeliveredRolledBackIsNot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s})
		defer b.run()()

		tx, err := b.store.Begin(t.Context())
		require.NoError(t, err)
		require.NoError(t, b.queue.Enqueue(t.Context(), tx, msg("a", "k", "back")))
		require.NoError(t, tx.Rollback())
		tx, err = b.store.Begin(t.Context())
		require.NoError(t, err)
		require.NoError(t, b.queue.Enqueue(t.Context(), tx, msg("a", "k", "kept")))
		require.NoError(t, tx.Commit())

		time.Sleep(time.Second) // no Wake: polling alone finds it
		require.Equal(t, []string{"kept"}, s.ids())
		require.Zero(t, b.lag("a").Waiting)
	})
}

func TestKeyKeepsItsOrderThroughRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		tries := map[string]int{}
		s.set(func(d outbox.Delivery) error { // every third attempt of a message works
			if tries[d.ID]++; tries[d.ID]%3 != 0 {
				return dovetail.NewError(dovetail.Transient, "write", "no")
			}
			return nil
		})
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s, Concurrency: 1})
		defer b.run()()
		var want []string
		for i := range 30 {
			id := fmt.Sprintf("%02d", i)
			want = append(want, id)
			b.send(msg("a", "k", id))
			time.Sleep(300 * time.Millisecond)
		}
		time.Sleep(10 * time.Minute)
		require.Equal(t, want, s.ids())
		require.Empty(t, s.torn())
	})
}

func TestOutageBurnsNoAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, other := &sink{}, &sink{}
		s.set(always(dovetail.Unavailable))
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s, Concurrency: 4}, outbox.Destination{Name: "b", Handler: other})
		defer b.run()()
		for i := range 300 {
			b.send(msg("a", fmt.Sprint("k", i%7), fmt.Sprint(i)), msg("b", "k", fmt.Sprint("b", i)))
		}
		time.Sleep(20 * time.Minute)
		require.Len(t, other.ids(), 300, "the other destination goes on")
		require.True(t, b.lag("a").Down)
		s.mu.Lock()
		for i, at := range s.tries[4:] {
			if i > 0 {
				require.GreaterOrEqual(t, at.Sub(s.tries[4+i-1]), 2*time.Second, "one probe per ProbeEvery")
			}
		}
		require.Greater(t, len(s.tries), 500, "it is probed")
		s.mu.Unlock()

		before := s.attempts()
		s.set(nil)
		time.Sleep(3 * time.Second)
		require.Len(t, s.ids(), 300, "all of it follows at once")
		require.Equal(t, 300, s.attempts()-before)
		for _, e := range b.told.all() {
			if e.Name == "outbox.delivery" && e.Destination == "a" {
				require.Equal(t, 1, e.Attempt, "no attempt was burnt")
			}
		}
		time.Sleep(time.Minute)
		require.Contains(t, b.told.lines(), "report down a")
		require.Regexp(t, "clear down a: lasted 20m[02]s, 300 caught up", strings.Join(b.told.lines(), "\n"))
		require.Contains(t, b.told.lines(), "report stuck a")
		require.Empty(t, s.torn())
	})
}

func TestAuthPausesWithItsOwnAlert(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		s.set(always(dovetail.Auth))
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s})
		defer b.run()()
		b.send(msg("a", "k", "1"))
		time.Sleep(time.Minute)
		require.Equal(t, []string{"report auth a"}, b.told.lines()[:1])
		require.Empty(t, b.letters(outbox.Filter{}))
		s.set(nil)
		time.Sleep(3 * time.Second)
		require.Equal(t, []string{"1"}, s.ids())
	})
}

func TestRateLimitedWaitsAsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		s.set(func(outbox.Delivery) error {
			return &dovetail.Error{Fault: dovetail.RateLimited, Op: "write", After: 90 * time.Second}
		})
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s, Concurrency: 1})
		defer b.run()()
		b.send(msg("a", "k", "1"), msg("a", "l", "2"))
		time.Sleep(89 * time.Second)
		require.Equal(t, 1, s.attempts(), "the whole destination waits")
		s.set(nil)
		time.Sleep(2 * time.Second)
		require.Equal(t, []string{"1", "2"}, s.ids())
		require.Equal(t, []string{"rate-limited", "delivered", "delivered"}, b.told.outcomes())
	})
}

func TestDeferWaitsAloneAndBurnsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		var last atomic.Int64
		s.set(func(d outbox.Delivery) error {
			last.Store(max(last.Load(), int64(d.Attempt)))
			if d.ID == "1" && time.Since(d.Enqueued) < time.Minute {
				return outbox.Defer(20*time.Second, "its parent is not there yet")
			}
			return nil
		})
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s, Attempts: 2})
		defer b.run()()
		b.send(msg("a", "k", "1"), msg("a", "k", "2"), msg("a", "l", "3"))
		time.Sleep(10 * time.Second)
		require.Equal(t, []string{"3"}, s.ids())
		time.Sleep(2 * time.Minute)
		require.Equal(t, []string{"3", "1", "2"}, s.ids(), "its key waits behind it")
		require.EqualValues(t, 1, last.Load())
		for _, e := range b.told.all() {
			require.NoError(t, e.Err)
		}
	})
}

func TestPanicIsRetriedAndItsStackKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		b := newBench(t, nil, outbox.Destination{Name: "a", Attempts: 2, Handler: outbox.HandlerFunc(func(_ context.Context, d outbox.Delivery) error {
			_ = s.Handle(t.Context(), d)
			panic("no customer")
		})})
		defer b.run()()
		b.send(msg("a", "k", "1"))
		time.Sleep(time.Minute)
		require.Equal(t, 2, s.attempts())
		letters := b.letters(outbox.Filter{})
		require.Len(t, letters, 1)
		require.Contains(t, letters[0].Error, "no customer")
		require.Contains(t, letters[0].Error, "goroutine ", "with the stack")
		for _, e := range b.told.all() {
			if e.Err != nil {
				require.NotContains(t, e.Err.Error(), "goroutine ", "the stack stays with the message")
			}
		}
	})
}

func TestHandlerThatEndsItsGoroutineIsRetried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		var ended atomic.Int32
		b := newBench(t, nil, outbox.Destination{Name: "a", Concurrency: 1, Handler: outbox.HandlerFunc(func(ctx context.Context, d outbox.Delivery) error {
			if d.ID == "1" && ended.Add(1) < 3 {
				runtime.Goexit()
			}
			return s.Handle(ctx, d)
		})})
		stop := b.run()
		b.send(msg("a", "k", "1"), msg("a", "k", "2"), msg("a", "l", "3"))
		time.Sleep(time.Minute)
		require.Equal(t, []string{"3", "1", "2"}, s.ids(), "its key waits for it, other keys do not")
		outcomes := b.told.outcomes()
		require.Equal(t, "retry", outcomes[0])
		require.Len(t, outcomes, 5)
		stop() // it returns
	})
}

func TestInDoubtIsParkedAndNeverRepeated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		s.set(always(dovetail.InDoubt))
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s})
		defer b.run()()
		b.send(msg("a", "k", "1"), msg("a", "k", "2"))
		time.Sleep(24 * time.Hour)
		require.Equal(t, 1, s.attempts())
		require.EqualValues(t, 1, b.lag("a").InDoubt)
		require.Empty(t, b.letters(outbox.Filter{}))
		require.Contains(t, b.told.lines(), "report in-doubt a")
		s.set(nil)
		n, err := b.queue.Replay(t.Context(), outbox.Filter{InDoubt: true}, "ana")
		require.NoError(t, err)
		require.Equal(t, 1, n)
		time.Sleep(time.Second)
		require.Equal(t, []string{"1", "2"}, s.ids())
	})
}

func TestDueIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s})
		defer b.run()()
		later := msg("a", "k", "later")
		later.Due = time.Now().Add(time.Hour)
		b.send(later, msg("a", "k", "now"))
		time.Sleep(59 * time.Minute)
		require.Equal(t, []string{"now"}, s.ids(), "it holds nobody up")
		time.Sleep(2 * time.Minute)
		require.Equal(t, []string{"now", "later"}, s.ids())
		require.NotContains(t, b.told.lines(), "report stuck a")
	})
}

func TestDedupKeyKeepsOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s}, outbox.Destination{Name: "b", Handler: s})
		defer b.run()()
		for i, to := range []string{"a", "a", "b"} {
			m := msg(to, "", fmt.Sprint(i))
			m.DedupKey = "webhook-7"
			b.send(m)
		}
		time.Sleep(time.Second)
		require.ElementsMatch(t, []string{"0", "2"}, s.ids(), "once per destination")
		require.Equal(t, 1, b.told.count("outbox.duplicate"))
	})
}

func TestSerialDeliversOneAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{slow: time.Second}
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s, Order: outbox.Serial})
		defer b.run()()
		var want []string
		for i := range 20 {
			want = append(want, fmt.Sprint(i))
			b.send(msg("a", fmt.Sprint("k", i), fmt.Sprint(i)))
		}
		time.Sleep(time.Minute)
		require.Equal(t, want, s.ids())
		require.Equal(t, 1, s.peak())
	})
}

func TestCrashBetweenHandleAndAckDeliversAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &deaf{Store: memstore.New()}
		s := &sink{}
		first := queueOn(t, store, &told{}, outbox.Destination{Name: "a", Handler: s})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- first.Run(ctx) }()
		synctest.Wait()
		store.dead.Store(true) // from here on the process cannot write: as good as killed
		send(t, first, msg("a", "k", "1"), msg("a", "k", "2"))
		time.Sleep(2 * time.Second)
		require.Equal(t, []string{"1", "2"}, s.ids())
		cancel()
		require.NoError(t, <-ended)

		again := &sink{}
		second := newBench(t, store.Store, outbox.Destination{Name: "a", Handler: again})
		defer second.run()()
		time.Sleep(15 * time.Second) // one lease
		require.Equal(t, []string{"1", "2"}, again.ids(), "at least once, in order")
	})
}

func TestGracefulStopFinishesAndHandsOverAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{slow: 3 * time.Second}
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s, Concurrency: 2})
		stop := b.run()
		for i := range 10 {
			b.send(msg("a", "", fmt.Sprint(i)))
		}
		time.Sleep(time.Second)
		stop()
		require.Len(t, s.ids(), 2, "what was under way was finished")
		next := newBench(t, b.store, outbox.Destination{Name: "a", Handler: s, Concurrency: 10})
		defer next.run()()
		time.Sleep(3500 * time.Millisecond)
		require.Len(t, s.ids(), 10, "the next relay did not wait for a lease, and nothing came twice")
	})
}
