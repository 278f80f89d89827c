package outbox_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
)

// inside fails the test if more went out in any stretch of time than a rate with
// a burst allows.
func inside(t *testing.T, tries []time.Time, rate float64, burst int) {
	t.Helper()
	for i := range tries {
		for j := i; j < len(tries); j++ {
			allowed := float64(burst) + rate*tries[j].Sub(tries[i]).Seconds() + 0.01
			require.LessOrEqual(t, float64(j-i+1), allowed, "between %s and %s", tries[i], tries[j])
		}
	}
}

func (s *sink) times() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]time.Time(nil), s.tries...)
}

func TestRateIsKeptAndUsed(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]outbox.Destination{
		"single": {Name: "a"},
		"burst":  {Name: "a", Burst: 20},
		"batch":  {Name: "a", Burst: 20, BatchSize: 8},
		"serial": {Name: "a", Order: outbox.Serial},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &bulk{sink: sink{slow: 3 * time.Millisecond}}
				if d.Rate = 40; d.BatchSize > 0 {
					d.Batch = s
				} else {
					d.Handler = &s.sink
				}
				b := newBench(t, nil, d)
				defer b.run()()
				began := time.Now()
				b.sendMany("a", 400, 50)
				for len(s.ids()) < 400 {
					time.Sleep(10 * time.Millisecond)
				}
				require.InDelta(t, 10, time.Since(began).Seconds(), 1, "used in full")
				inside(t, s.times(), 40, max(4, d.Burst))
				require.Empty(t, s.torn())
			})
		})
	}
}

func TestRateHoldsNoWorkerAndNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, other := &sink{}, &sink{}
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s, Rate: 0.01}, outbox.Destination{Name: "b", Handler: other})
		stop := b.run()
		b.send(msg("a", "", "1"), msg("a", "", "2"), msg("b", "", "3"))
		time.Sleep(150 * time.Second)
		require.Equal(t, []string{"1"}, s.ids())
		require.Equal(t, []string{"3"}, other.ids())
		began := time.Now()
		stop()
		require.Less(t, time.Since(began), time.Second, "it ends without waiting for the rate")
	})
}

func TestRelaysShareTheRate(t *testing.T) {
	t.Parallel()
	for _, order := range []outbox.Order{outbox.PerKey, outbox.Serial} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &sink{}
				store := memstore.New()
				d := outbox.Destination{Name: "a", Handler: s, Rate: 30, Burst: 6, Order: order}
				var relays []*bench
				for range 3 {
					b := newBench(t, store, d)
					defer b.run()()
					relays = append(relays, b)
				}
				time.Sleep(10 * time.Second) // until they have shared
				began := time.Now()
				relays[0].sendMany("a", 600, 600)
				for len(s.ids()) < 600 {
					time.Sleep(100 * time.Millisecond)
				}
				inside(t, s.times(), 30, 6)
				if order == outbox.Serial {
					require.InDelta(t, 20, time.Since(began).Seconds(), 2, "what one shard has is not cut")
				}
			})
		})
	}
}

func TestRateHoldsThroughAnOutageAndAPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		s.set(always(dovetail.Unavailable))
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s, Rate: 0.2, ProbeEvery: time.Second})
		defer b.run()()
		b.sendMany("a", 100, 10)
		time.Sleep(10 * time.Minute)
		require.InDelta(t, 120, s.attempts(), 3, "probes are inside the rate")
		require.NoError(t, b.queue.Pause(t.Context(), "a", "ana", "month-end"))
		time.Sleep(10 * time.Minute)
		s.set(nil)
		require.NoError(t, b.queue.Resume(t.Context(), "a", "ana", "closed"))
		time.Sleep(10 * time.Minute)
		require.Len(t, s.ids(), 100)
		inside(t, s.times(), 0.2, 1)
		for _, e := range b.told.all() {
			require.LessOrEqual(t, e.Attempt, 1, "no attempt was burnt")
		}
	})
}
