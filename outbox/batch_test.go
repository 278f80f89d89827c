package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
)

// A bulk is a batch handler on top of a sink: it delivers a batch message by
// message, and no message of a key behind one that failed.
type bulk struct {
	sink
	sizes   []int
	sameKey bool
}

func (b *bulk) HandleBatch(ctx context.Context, batch []outbox.Delivery) []error {
	b.mu.Lock()
	b.sizes = append(b.sizes, len(batch))
	inFlight := map[string]bool{}
	if b.active == nil {
		b.active = map[string]bool{}
	}
	for _, d := range batch {
		if d.Key != "" && (b.active[d.Key] || inFlight[d.Key] && !b.sameKey) {
			b.broken = "two of key " + d.Key + " in flight"
		}
		inFlight[d.Key] = true
	}
	for key := range inFlight {
		b.active[key] = true
	}
	b.now++
	b.most = max(b.most, b.now)
	answer, slow := b.answer, b.slow
	b.mu.Unlock()
	if slow > 0 {
		select {
		case <-time.After(slow):
		case <-ctx.Done():
		}
	}
	results := make([]error, len(batch))
	failed := map[string]bool{}
	for i, d := range batch {
		b.mu.Lock()
		b.tries = append(b.tries, time.Now())
		b.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			results[i] = ctx.Err()
		case failed[d.Key]: // whatever it says, it was not delivered
		case answer != nil:
			results[i] = answer(d)
		}
		if results[i] == nil && !failed[d.Key] {
			b.mu.Lock()
			b.got = append(b.got, d.ID)
			b.mu.Unlock()
		}
		failed[d.Key] = d.Key != "" && (failed[d.Key] || results[i] != nil)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now--
	for key := range inFlight {
		delete(b.active, key)
	}
	return results
}

func (b *bulk) calls() []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.sizes)
}

// sendMany commits n messages over some keys in one transaction and returns
// their IDs.
func (b *bench) sendMany(to string, n, keys int) []string {
	b.t.Helper()
	var msgs []outbox.Message
	var ids []string
	for i := range n {
		id := fmt.Sprintf("%04d", i)
		key := ""
		if keys > 0 {
			key = fmt.Sprint("k", i%keys)
		}
		ids = append(ids, id)
		msgs = append(msgs, msg(to, key, id))
	}
	b.send(msgs...)
	return ids
}

func TestBatchHoldsOneMessageOfAKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &bulk{sink: sink{slow: 10 * time.Millisecond}}
		b := newBench(t, nil, outbox.Destination{Name: "a", Batch: s, BatchSize: 20, Concurrency: 3})
		defer b.run()()
		b.sendMany("a", 300, 7)
		time.Sleep(5 * time.Second)
		require.Empty(t, s.torn())
		require.LessOrEqual(t, slices.Max(s.calls()), 7)
		require.Len(t, s.ids(), 300)
		last := map[string]string{}
		for _, id := range s.ids() {
			n, err := strconv.Atoi(id)
			require.NoError(t, err)
			key := fmt.Sprint(n % 7)
			require.Less(t, last[key], id, "in the order of the key")
			last[key] = id
		}
		require.Len(t, b.told.outcomes(), 300, "one event for each message")
	})
}

func TestBatchFillsWithoutWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &bulk{}
		b := newBench(t, nil, outbox.Destination{Name: "a", Batch: s, BatchSize: 50, Order: outbox.Unordered, Concurrency: 1})
		defer b.run()()
		b.send(msg("a", "", "one"))
		time.Sleep(300 * time.Millisecond)
		require.Equal(t, []string{"one"}, s.ids(), "a batch of one does not wait for others")
		b.sendMany("a", 120, 0)
		time.Sleep(time.Second)
		require.Equal(t, []int{1, 50, 50, 20}, s.calls())
	})
}

func TestBatchResultsCountForEachMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &bulk{}
		tries := map[string]int{}
		s.set(func(d outbox.Delivery) error {
			tries[d.ID]++
			switch d.ID {
			case "bad":
				return dovetail.NewError(dovetail.Invalid, "write", "no")
			case "doubt":
				return dovetail.NewError(dovetail.InDoubt, "write", "no")
			case "again":
				if tries[d.ID] < 3 {
					return dovetail.NewError(dovetail.Transient, "write", "no")
				}
			case "later":
				if tries[d.ID] < 2 {
					return outbox.Defer(time.Minute, "its parent is not there yet")
				}
			}
			return nil
		})
		b := newBench(t, nil, outbox.Destination{Name: "a", Batch: s, Concurrency: 1})
		defer b.run()()
		b.send(msg("a", "1", "fine"), msg("a", "2", "bad"), msg("a", "3", "again"), msg("a", "4", "doubt"), msg("a", "5", "later"), msg("a", "6", "too"))
		time.Sleep(500 * time.Millisecond)
		require.Equal(t, 6, s.calls()[0])
		require.Contains(t, s.ids(), "fine")
		require.Contains(t, s.ids(), "too", "what comes behind a failure in the batch arrived")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		require.ElementsMatch(t, []string{"fine", "too", "again", "later"}, s.ids(), "each once")
		require.Len(t, b.letters(outbox.Filter{}), 1)
		require.Len(t, b.letters(outbox.Filter{InDoubt: true}), 1)
		require.Equal(t, map[string]int{"fine": 1, "too": 1, "bad": 1, "doubt": 1, "again": 3, "later": 2}, tries)
	})
}

func TestBatchWithAnotherNumberOfResultsFailsAsAWhole(t *testing.T) {
	t.Parallel()
	for name, results := range map[string][]error{"none": nil, "one less": make([]error, 2), "one more": make([]error, 4)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var sizes []int
				b := newBench(t, nil, outbox.Destination{Name: "a", Attempts: 5, Concurrency: 1, Batch: outbox.BatchHandlerFunc(func(_ context.Context, batch []outbox.Delivery) []error {
					if sizes = append(sizes, len(batch)); len(sizes) == 1 {
						return results
					}
					return outbox.All(batch, nil)
				})})
				defer b.run()()
				b.send(msg("a", "1", "1"), msg("a", "2", "2"), msg("a", "3", "3"))
				time.Sleep(time.Minute)
				synctest.Wait()
				require.Equal(t, []int{3, 1, 1, 1}, sizes, "nothing is taken for delivered, and each comes alone then")
				require.Equal(t, []string{"retry", "retry", "retry", "delivered", "delivered", "delivered"}, b.told.outcomes())
				require.Zero(t, b.lag("a").Waiting+b.lag("a").Parked)
			})
		})
	}
}

func TestBatchThatPanicsHarmsTheBadMessageAlone(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(){"panic": func() { panic("no customer") }, "goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &bulk{}
				b := newBench(t, nil, outbox.Destination{Name: "a", Attempts: 4, Batch: outbox.BatchHandlerFunc(func(ctx context.Context, batch []outbox.Delivery) []error {
					if slices.ContainsFunc(batch, func(d outbox.Delivery) bool { return d.ID == "0007" }) {
						fail()
					}
					return s.HandleBatch(ctx, batch)
				})})
				stop := b.run()
				b.sendMany("a", 40, 0)
				time.Sleep(10 * time.Minute)
				require.Len(t, s.ids(), 39)
				letters := b.letters(outbox.Filter{})
				require.Len(t, letters, 1)
				require.Equal(t, "0007", letters[0].ID)
				require.Equal(t, 4, letters[0].Attempts)
				if name == "panic" {
					require.Contains(t, letters[0].Error, "goroutine ", "with the stack")
				}
				stop() // it returns
			})
		})
	}
}

func TestOneUnavailableInABatchPausesAndBurnsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &bulk{}
		var down atomic.Bool
		down.Store(true)
		s.set(func(d outbox.Delivery) error {
			if down.Load() && d.Key == "k2" {
				return dovetail.NewError(dovetail.Unavailable, "write", "no")
			}
			if down.Load() && d.Key == "k3" {
				return dovetail.NewError(dovetail.Transient, "write", "no")
			}
			return nil
		})
		b := newBench(t, nil, outbox.Destination{Name: "a", Batch: s, BatchSize: 8, Concurrency: 1})
		defer b.run()()
		b.sendMany("a", 200, 5)
		time.Sleep(time.Second)
		require.True(t, b.lag("a").Down, "although others of the batch arrived")
		calls := len(s.calls())
		require.Equal(t, 1, calls)
		require.Equal(t, []string{"0000", "0001", "0004"}, s.ids())
		s.set(always(dovetail.Unavailable))
		time.Sleep(10 * time.Minute)
		probes := s.calls()[calls:]
		require.InDelta(t, 300, len(probes), 2, "a probe per ProbeEvery")
		require.Equal(t, 1, slices.Max(probes), "of one message")
		down.Store(false)
		s.set(nil)
		before := len(s.calls())
		time.Sleep(20 * time.Second)
		require.Len(t, s.ids(), 200)
		sizes := s.calls()[before:]
		require.Equal(t, []int{1, 2}, sizes[:2], "it begins slowly")
		for _, e := range b.told.all() {
			if e.Name == "outbox.delivery" && e.Outcome == "delivered" && e.Key != "k3" {
				require.Equal(t, 1, e.Attempt, "no attempt was burnt")
			}
		}
	})
}

func TestBatchGrowsSlowlyAfterAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &bulk{sink: sink{slow: 10 * time.Millisecond}}
		s.set(always(dovetail.Unavailable))
		b := newBench(t, nil, outbox.Destination{Name: "a", Batch: s, BatchSize: 16, Concurrency: 2, Order: outbox.Unordered})
		defer b.run()()
		b.sendMany("a", 500, 0)
		time.Sleep(time.Minute)
		s.set(nil)
		before := len(s.calls())
		time.Sleep(10 * time.Second)
		require.Len(t, s.ids(), 500)
		require.Equal(t, []int{1, 2, 4, 8, 16}, s.calls()[before:][:5], "one call at a time, twice as many with each")
	})
}

func TestAllowSameKeyKeepsTheOrderThroughFailures(t *testing.T) {
	t.Parallel()
	for _, poison := range []outbox.Poison{outbox.BlockKey, outbox.SkipToDead} {
		t.Run(fmt.Sprint(poison), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &bulk{sameKey: true, sink: sink{slow: 10 * time.Millisecond}}
				tries := map[string]int{}
				s.set(func(d outbox.Delivery) error {
					tries[d.ID]++
					switch {
					case d.ID == "0050":
						return dovetail.NewError(dovetail.Invalid, "write", "bad")
					case d.ID[2:] == "13" && tries[d.ID] < 3:
						return dovetail.NewError(dovetail.Transient, "write", "no")
					case d.ID[2:] == "29" && tries[d.ID] < 2:
						return dovetail.NewError(dovetail.Unavailable, "write", "no")
					}
					return nil
				})
				b := newBench(t, nil, outbox.Destination{Name: "a", Batch: s, BatchSize: 20, AllowSameKey: true, Poison: poison, Concurrency: 2})
				defer b.run()()
				ids := b.sendMany("a", 100, 1)
				time.Sleep(10 * time.Minute)
				if poison == outbox.BlockKey {
					require.Equal(t, ids[:50], s.ids(), "the key waits")
					s.set(nil)
					_, err := b.queue.Replay(t.Context(), outbox.Filter{}, "ana")
					require.NoError(t, err)
					time.Sleep(time.Minute)
					require.Equal(t, ids, s.ids())
				} else {
					require.Equal(t, slices.Concat(ids[:50], ids[51:]), s.ids())
				}
				require.Empty(t, s.torn())
				require.Equal(t, 20, slices.Max(s.calls()), "a batch holds a run of the key")
				for id, n := range tries {
					if id != "0013" && id != "0029" {
						require.Equal(t, 1, n, "%s is given to the API once", id)
					}
				}
			})
		})
	}
}

func TestAllowSameKeyIgnoresResultsBehindAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var got []string
		b := newBench(t, nil, outbox.Destination{Name: "a", AllowSameKey: true, Batch: outbox.BatchHandlerFunc(func(_ context.Context, batch []outbox.Delivery) []error {
			results := outbox.All(batch, nil)
			for i, d := range batch {
				got = append(got, d.ID)
				if d.ID == "1" && d.Attempt == 1 {
					results[i] = errors.New("no")
				}
			}
			return results // of "2" it says that it was delivered
		})})
		defer b.run()()
		b.send(msg("a", "k", "0"), msg("a", "k", "1"), msg("a", "k", "2"), msg("a", "l", "3"))
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, []string{"0", "1", "2", "3", "1", "2"}, got, "the last word on the key is the newest")
	})
}

func TestSerialBatchIsInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &bulk{sameKey: true}
		b := newBench(t, nil, outbox.Destination{Name: "a", Batch: s, Order: outbox.Serial, AllowSameKey: true})
		defer b.run()()
		ids := b.sendMany("a", 1000, 13)
		time.Sleep(time.Minute)
		require.Equal(t, ids, s.ids())
		require.Equal(t, 1, s.peak())
		require.Equal(t, 100, slices.Max(s.calls()))
	})
}

func TestBatchTimesOutAsAWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &bulk{sink: sink{slow: time.Minute}}
		b := newBench(t, nil, outbox.Destination{Name: "a", Batch: s, Timeout: 5 * time.Second, Attempts: 2})
		defer b.run()()
		b.sendMany("a", 3, 0)
		time.Sleep(10 * time.Minute)
		require.Len(t, b.letters(outbox.Filter{}), 3)
		require.Equal(t, dovetail.Transient, b.letters(outbox.Filter{})[0].Class)
	})
}

func TestWhatFailedBeforeComesAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls []string
		b := newBench(t, nil, outbox.Destination{Name: "a", Order: outbox.Unordered, Concurrency: 1, Backoff: outbox.Backoff{Base: 1, Cap: 1}, Batch: outbox.BatchHandlerFunc(func(_ context.Context, batch []outbox.Delivery) []error {
			call := ""
			for _, d := range batch {
				call += d.ID
			}
			calls = append(calls, call)
			var err error
			switch {
			case len(calls) == 1:
				err = &dovetail.Error{Fault: dovetail.Transient, Op: "write", After: 5 * time.Second}
			case call == "s":
				time.Sleep(3 * time.Second)
			}
			return outbox.All(batch, err)
		})})
		defer b.run()()
		b.send(msg("a", "", "1"), msg("a", "", "2"))
		time.Sleep(4 * time.Second)
		b.send(msg("a", "", "s")) // under way while the others become due
		time.Sleep(500 * time.Millisecond)
		b.send(msg("a", "", "x"), msg("a", "", "y"))
		time.Sleep(2 * time.Second)
		b.send(msg("a", "", "z"))
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, []string{"12", "s", "xy", "1", "2", "z"}, calls, "neither behind others nor before them")
	})
}
