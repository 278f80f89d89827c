package outbox_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
)

// A flaky store cannot be reached now and then.
type flaky struct {
	*memstore.Store
	cut atomic.Bool
}

func (f *flaky) LeaseShards(ctx context.Context, r outbox.LeaseRequest) (outbox.Lease, error) {
	if f.cut.Load() {
		return outbox.Lease{}, errDead
	}
	return f.Store.LeaseShards(ctx, r)
}

func TestTwoRelaysShareAndNeverOverlap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{slow: 40 * time.Millisecond}
		shared := memstore.New()
		stores := [2]*flaky{{Store: shared}, {Store: shared}}
		var queues [2]*outbox.Queue
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		served := [2]atomic.Int64{}
		for i := range queues {
			queues[i] = queueOn(t, stores[i], &told{}, outbox.Destination{Name: "a", Concurrency: 4, Handler: outbox.HandlerFunc(func(ctx context.Context, d outbox.Delivery) error {
				served[i].Add(1)
				return s.Handle(ctx, d)
			})})
			go func() { ended <- queues[i].Run(ctx) }()
		}
		var want [8][]string
		for i := range 2000 {
			k := i % len(want)
			id := fmt.Sprintf("%d-%04d", k, i)
			want[k] = append(want[k], id)
			send(t, queues[i%2], msg("a", fmt.Sprint(k), id))
			time.Sleep(20 * time.Millisecond)
			if i == 500 || i == 1200 { // one stops renewing; it lives on
				stores[i/600%2].cut.Store(true)
			}
			if i == 1100 || i == 1900 {
				stores[0].cut.Store(false)
				stores[1].cut.Store(false)
			}
		}
		time.Sleep(5 * time.Minute)
		cancel()
		require.NoError(t, <-ended)
		require.NoError(t, <-ended)
		require.Empty(t, s.torn())
		var got [8][]string
		for _, id := range s.ids() {
			k := int(id[0] - '0')
			if !slices.Contains(got[k], id) { // a lost lease may deliver twice
				got[k] = append(got[k], id)
			}
		}
		require.Equal(t, want, got, "all of it, in the order of each key")
		require.Positive(t, served[0].Load())
		require.Positive(t, served[1].Load(), "they share the work")
	})
}

func TestLedger(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) { ledger(t, rt) })
	})
}

// ledger runs a random history and checks that what was committed is what was
// delivered, once, in the order of each key.
func ledger(t *testing.T, rt *rapid.T) {
	poison := rapid.SampledFrom([]outbox.Poison{outbox.BlockKey, outbox.SkipToDead}).Draw(rt, "poison")
	bad := rapid.IntRange(0, 40).Draw(rt, "percent failing")
	s := &sink{slow: time.Duration(rapid.IntRange(0, 50).Draw(rt, "slow")) * time.Millisecond}
	tries := map[string]int{}
	classes := []dovetail.Class{dovetail.Transient, dovetail.Unclassified, dovetail.Conflict, dovetail.Unavailable, dovetail.RateLimited}
	s.set(func(d outbox.Delivery) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		tries[d.ID]++
		h := 0
		for _, c := range fmt.Sprint(d.ID, tries[d.ID]) {
			h = h*31 + int(c)
		}
		if tries[d.ID] < 5 && h%100 < bad {
			return dovetail.NewError(classes[h/100%len(classes)], "write", "no")
		}
		return nil
	})
	d := outbox.Destination{
		Name: "a", Handler: s, Poison: poison, Attempts: 30, Buffer: rapid.IntRange(4, 64).Draw(rt, "buffer"),
		Concurrency: rapid.IntRange(1, 6).Draw(rt, "concurrency"),
	}
	if mode := rapid.SampledFrom([]string{"single", "batch", "batch of a key"}).Draw(rt, "mode"); mode != "single" {
		d.Handler, d.Batch, d.BatchSize, d.AllowSameKey = nil, &bulkOf{s}, rapid.IntRange(1, 9).Draw(rt, "batch"), mode == "batch of a key"
	}
	b := newBench(t, nil, d)
	stop := b.run()
	want := map[string][]string{}
	n := rapid.IntRange(1, 120).Draw(rt, "messages")
	for i := range n {
		key := rapid.SampledFrom([]string{"k", "l", "m"}).Draw(rt, "key")
		tx, err := b.store.Begin(t.Context())
		require.NoError(t, err)
		id := fmt.Sprintf("%s%d", key, i)
		require.NoError(t, b.queue.Enqueue(t.Context(), tx, msg("a", key, id)))
		if rapid.IntRange(0, 4).Draw(rt, "fate") == 0 {
			require.NoError(t, tx.Rollback())
		} else {
			require.NoError(t, tx.Commit())
			want[key] = append(want[key], id)
		}
		if rapid.IntRange(0, 9).Draw(rt, "pause") == 0 {
			time.Sleep(time.Duration(rapid.IntRange(1, 3000).Draw(rt, "ms")) * time.Millisecond)
		}
		if rapid.IntRange(0, 29).Draw(rt, "restart") == 0 {
			stop()
			b = newBench(t, b.store, d)
			stop = b.run()
		}
	}
	for range 180 { // as long as anything is missing
		time.Sleep(time.Minute)
		if len(s.ids()) >= len(want["k"])+len(want["l"])+len(want["m"]) {
			break
		}
	}
	time.Sleep(time.Minute) // and whether anything comes twice
	stop()
	got := map[string][]string{}
	for _, id := range s.ids() {
		got[id[:1]] = append(got[id[:1]], id)
	}
	require.Equal(t, want, got)
	require.Empty(t, s.torn())
	require.Empty(t, b.letters(outbox.Filter{}))
}

// A bulkOf delivers a batch through a handler one by one, and nothing of a key
// behind a failure.
type bulkOf struct{ outbox.Handler }

func (b *bulkOf) HandleBatch(ctx context.Context, batch []outbox.Delivery) []error {
	results := make([]error, len(batch))
	failed := map[string]bool{}
	for i, d := range batch {
		if !failed[d.Key] {
			results[i] = b.Handle(ctx, d)
			failed[d.Key] = results[i] != nil
		}
	}
	return results
}

func TestMemoryIsBoundedWhateverTheBacklog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		down, busy, idle := &sink{}, &sink{slow: time.Second}, &sink{}
		down.set(always(dovetail.Unavailable))
		b := newBench(t, nil,
			outbox.Destination{Name: "down", Handler: down, Buffer: 50},
			outbox.Destination{Name: "busy", Handler: busy, Buffer: 50, Concurrency: 2},
			outbox.Destination{Name: "idle", Handler: idle, Buffer: 50},
		)
		defer b.run()()
		most := 0
		for i := range 200 {
			var msgs []outbox.Message
			for j := range 50 {
				key := fmt.Sprint(j % 10)
				msgs = append(msgs, msg("down", key, ""), msg("busy", key, ""))
			}
			b.send(append(msgs, msg("idle", "k", fmt.Sprint(i)))...)
			time.Sleep(time.Second)
			require.Len(t, idle.ids(), i+1, "nobody holds up the others")
			most = max(most, outbox.InMemory(b.queue))
		}
		require.Less(t, most, 3*(50+1000), "buffer and a page for each destination")
		require.Less(t, outbox.InMemory(b.queue), 500, "of 20,000 that wait")
	})
}

// TestLateAcknowledgementLeavesNobodyBehind has a relay deliver a message that it
// cannot acknowledge before its lease is over. The next relay parks that message,
// with others behind it, when the first is back.
func TestLateAcknowledgementLeavesNobodyBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := memstore.New()
		first := &deaf{Store: shared}
		one, two := &sink{slow: 2 * time.Second}, &sink{}
		stopOne := runQueue(t, queueOn(t, first, &told{}, outbox.Destination{Name: "a", Handler: one, Concurrency: 1}))
		producer := queueOn(t, shared, &told{}, outbox.Destination{Name: "a"})
		time.Sleep(time.Second)
		send(t, producer, msg("a", "k", "1"))
		time.Sleep(time.Second)
		first.dead.Store(true)
		time.Sleep(2 * time.Second)
		require.Equal(t, []string{"1"}, one.ids(), "it is delivered, and cannot be acknowledged")
		two.set(func(d outbox.Delivery) error {
			if d.ID == "1" && d.Attempt < 3 {
				return &dovetail.Error{Fault: dovetail.Transient, Op: "write", After: 20 * time.Second}
			}
			return nil
		})
		stopTwo := runQueue(t, queueOn(t, shared, &told{}, outbox.Destination{Name: "a", Handler: two, Concurrency: 1}))
		time.Sleep(15 * time.Second) // one lease
		send(t, producer, msg("a", "k", "2"), msg("a", "k", "3"))
		time.Sleep(time.Second)
		require.Equal(t, 1, two.attempts(), "it failed, and the others wait behind it")
		first.dead.Store(false) // the first is back, with a result that it could not write
		time.Sleep(5 * time.Minute)
		require.Subset(t, append(one.ids(), two.ids()...), []string{"1", "2", "3"}, "they are delivered")
		stopOne()
		stopTwo()
	})
}

// TestALostLeaseIsTakenUpAgainAfterALateDelivery has a relay lose its lease while a
// handler runs that does not end with its context. When the handler ends at last,
// the relay writes that and begins anew.
func TestALostLeaseIsTakenUpAgainAfterALateDelivery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := memstore.New()
		first := &flaky{Store: shared}
		one, two := &sink{}, &sink{}
		deaf := outbox.HandlerFunc(func(ctx context.Context, d outbox.Delivery) error {
			if d.ID == "1" {
				time.Sleep(45 * time.Second)
			}
			return one.Handle(context.WithoutCancel(ctx), d)
		})
		stopOne := runQueue(t, queueOn(t, first, &told{}, outbox.Destination{Name: "a", Handler: deaf}))
		producer := queueOn(t, shared, &told{}, outbox.Destination{Name: "a"})
		send(t, producer, msg("a", "k", "1"))
		time.Sleep(time.Second)
		first.cut.Store(true)
		time.Sleep(15 * time.Second) // more than a lease
		stopTwo := runQueue(t, queueOn(t, shared, &told{}, outbox.Destination{Name: "a", Handler: two}))
		time.Sleep(5 * time.Second)
		require.Equal(t, []string{"1"}, two.ids(), "the second has taken over")
		first.cut.Store(false)
		time.Sleep(5 * time.Second)
		require.Empty(t, one.ids(), "the first knows that its lease is lost, and its handler still runs")
		time.Sleep(time.Minute)
		stopTwo()
		send(t, producer, msg("a", "k", "2"))
		time.Sleep(time.Minute)
		require.Contains(t, one.ids(), "2", "nobody else is left to deliver it")
		stopOne()
	})
}

// TestStopEndsThoughNothingCanBeAcknowledged: a relay that is told to stop while
// its store takes no results ends with its lease, and does not renew it for ever.
func TestStopEndsThoughNothingCanBeAcknowledged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := &fullDisk{Store: memstore.New()}
		shared.full.Store(true)
		one := &sink{}
		q := queueOn(t, shared, &told{}, outbox.Destination{Name: "a", Handler: one})
		stop := runQueue(t, q)
		send(t, q, msg("a", "k", "1"), msg("a", "l", "2"))
		time.Sleep(time.Second)
		require.Len(t, one.ids(), 2)
		began := time.Now()
		stop()
		require.LessOrEqual(t, time.Since(began), 15*time.Second, "a lease, and the last try to write")
		shared.full.Store(false)
		two := &sink{}
		stop = runQueue(t, queueOn(t, shared, &told{}, outbox.Destination{Name: "a", Handler: two}))
		time.Sleep(time.Minute)
		require.ElementsMatch(t, []string{"1", "2"}, two.ids(), "what was not acknowledged comes once more")
		stop()
	})
}
