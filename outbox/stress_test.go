package outbox_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
)

// A busy store takes its time for each call, so that workers and callers who
// enqueue come in between any two.
type busy struct {
	*memstore.Store
	mu   sync.Mutex
	dice *rand.Rand
}

func (b *busy) roll(n int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dice.IntN(n)
}

func (b *busy) wait() { time.Sleep(time.Duration(b.roll(8)) * time.Millisecond) }

func (b *busy) ReadMessages(ctx context.Context, q outbox.ReadQuery) (outbox.Page, error) {
	b.wait()
	defer b.wait()
	return b.Store.ReadMessages(ctx, q)
}

func (b *busy) DueMessages(ctx context.Context, wants []outbox.Want) ([]outbox.Entry, error) {
	b.wait()
	defer b.wait()
	return b.Store.DueMessages(ctx, wants)
}

func (b *busy) LaneMessages(ctx context.Context, destination, lane string, limit int) ([]outbox.Entry, error) {
	b.wait()
	defer b.wait()
	return b.Store.LaneMessages(ctx, destination, lane, limit)
}

func (b *busy) SettleMessages(ctx context.Context, s outbox.Settlement) (outbox.Settled, error) {
	b.wait()
	defer b.wait()
	return b.Store.SettleMessages(ctx, s)
}

// A weather is a handler of one destination with trouble at random until it
// clears up, and what went through it.
type weather struct {
	*busy
	fatal   bool
	sameKey bool

	mu    sync.Mutex
	clear bool
	out   bool
	sent  map[string][]string // by key, in the order of commits
	got   map[string][]string
	loose map[string]bool // scheduled: delivered or not
	begun map[string]int
	torn  string
	// batched is the keys that a batch has in flight.
	batched map[string]bool
}

func (w *weather) Handle(_ context.Context, d outbox.Delivery) (err error) {
	w.mu.Lock()
	if w.begun[d.Key]++; w.begun[d.Key] > 1 {
		w.torn = "two of key " + d.Key + " at once"
	}
	w.mu.Unlock()
	time.Sleep(time.Duration(w.roll(30)) * time.Millisecond)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begun[d.Key]--
	defer func() {
		if err != nil {
			return
		}
		if _, ok := w.loose[d.ID]; ok {
			w.loose[d.ID] = true
		} else {
			w.got[d.Key] = append(w.got[d.Key], d.ID)
		}
	}()
	if w.clear {
		return nil
	}
	if w.out {
		return dovetail.NewError(dovetail.Unavailable, "write", "down")
	}
	switch n := w.roll(20); {
	case n < 2:
		return dovetail.NewError(dovetail.Transient, "write", "no")
	case n == 3:
		return outbox.Defer(time.Duration(w.roll(200))*time.Millisecond, "not yet")
	case n == 4:
		return &dovetail.Error{Fault: dovetail.RateLimited, Op: "write", After: 20 * time.Millisecond}
	case n == 5:
		return dovetail.NewError(dovetail.Unavailable, "write", "once")
	case n == 6 && w.fatal:
		return dovetail.NewError(dovetail.Invalid, "write", "bad")
	}
	return nil
}

// HandleBatch delivers message by message, and nothing of a key behind a failure.
func (w *weather) HandleBatch(ctx context.Context, batch []outbox.Delivery) []error {
	w.mu.Lock()
	seen := map[string]bool{}
	for _, d := range batch {
		if w.batched[d.Key] || seen[d.Key] && !w.sameKey {
			w.torn = "two of key " + d.Key + " in flight"
		}
		seen[d.Key] = true
	}
	for key := range seen {
		w.batched[key] = true
	}
	w.mu.Unlock()
	results := make([]error, len(batch))
	failed := map[string]bool{}
	for i, d := range batch {
		if !failed[d.Key] {
			results[i] = w.Handle(ctx, d)
			failed[d.Key] = results[i] != nil
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for key := range seen {
		delete(w.batched, key)
	}
	return results
}

func (w *weather) set(out, clear bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out, w.clear = out, clear
}

// send commits one message, sometimes a scheduled one.
func (w *weather) send(t *testing.T, q *outbox.Queue, to string, scheduled bool) {
	key := fmt.Sprint("k", w.roll(5))
	err := q.Tx(t.Context(), func(ctx context.Context, tx outbox.Tx) error { // one at a time
		w.mu.Lock()
		defer w.mu.Unlock()
		m := msg(to, key, fmt.Sprintf("%s-%s-%d-%d", to, key, len(w.sent[key]), len(w.loose)))
		if scheduled {
			m.ID += "-later"
			m.Due = time.Now().Add(time.Duration(1+w.roll(500)) * time.Millisecond)
			w.loose[m.ID] = false
		} else {
			w.sent[key] = append(w.sent[key], m.ID)
		}
		return q.Enqueue(ctx, tx, m)
	})
	if err != nil {
		t.Error(err)
	}
}

// TestNothingIsForgottenInBadWeather is the promise that nothing is lost, under
// outages, retries, deferrals and small buffers, with messages that are committed
// at any moment of the relay's work.
func TestNothingIsForgottenInBadWeather(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { storm(t, seed) })
		})
	}
}

func storm(t *testing.T, seed uint64) {
	store := &busy{Store: memstore.New(), dice: rand.New(rand.NewPCG(seed, 1))}
	policies := []outbox.Poison{
		outbox.BlockKey, outbox.SkipToDead, outbox.LatestWins, outbox.LatestWins, // one by one, then in batches
		outbox.BlockKey, outbox.SkipToDead, outbox.LatestWins, outbox.BlockKey, outbox.SkipToDead,
	}
	var destinations []outbox.Destination
	skies := map[string]*weather{}
	for i, p := range policies {
		name := fmt.Sprint("d", i)
		w := &weather{busy: store, fatal: p == outbox.SkipToDead, sent: map[string][]string{}, got: map[string][]string{}, loose: map[string]bool{}, begun: map[string]int{}, batched: map[string]bool{}, sameKey: i >= 7}
		skies[name] = w
		d := outbox.Destination{
			Name: name, Handler: w, Poison: p, Concurrency: 1 + store.roll(5), Attempts: 1000, ProbeEvery: 100 * time.Millisecond,
			Buffer: []int{2, 4, 16, 2048}[store.roll(4)], Backoff: outbox.Backoff{Base: 50 * time.Millisecond, Cap: 500 * time.Millisecond},
		}
		if i >= 4 {
			d.Handler, d.Batch, d.BatchSize, d.AllowSameKey = nil, w, 1+store.roll(8), w.sameKey
		}
		destinations = append(destinations, d)
	}
	events := &told{}
	relay := func() *outbox.Queue {
		q, err := outbox.New(outbox.Config{Store: store, Destinations: destinations, Alerts: manager(t), Observer: events, Lease: time.Second})
		require.NoError(t, err)
		outbox.SetAlerts(q, events)
		return q
	}
	q := relay()
	stop := runQueue(t, q)

	var senders sync.WaitGroup
	if seed%2 == 1 { // a second relay comes and goes, and a person pauses and resumes
		senders.Go(func() {
			for range 4 {
				time.Sleep(time.Duration(store.roll(1500)) * time.Millisecond)
				end := runQueue(t, relay())
				time.Sleep(time.Duration(store.roll(2500)) * time.Millisecond)
				end()
			}
		})
		senders.Go(func() {
			for range 10 {
				name := destinations[store.roll(len(destinations))].Name
				time.Sleep(time.Duration(store.roll(500)) * time.Millisecond)
				if err := q.Pause(t.Context(), name, "ana", "month-end"); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Duration(store.roll(500)) * time.Millisecond)
				if err := q.Resume(t.Context(), name, "ana", "closed"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for name, w := range skies {
		orderly := name == "d2" || name == "d3" || name == "d6" // a later one among the latest has no place in the order
		senders.Go(func() {                                     // outages
			for range 5 {
				time.Sleep(time.Duration(w.roll(600)) * time.Millisecond)
				w.set(true, false)
				time.Sleep(time.Duration(w.roll(1500)) * time.Millisecond)
				w.set(false, false)
			}
		})
		for range 2 {
			senders.Go(func() {
				for range 60 {
					time.Sleep(time.Duration(w.roll(150)) * time.Millisecond)
					w.send(t, q, name, !orderly && w.roll(6) == 0)
				}
			})
		}
	}
	senders.Wait()
	for _, w := range skies {
		w.set(false, true)
	}
	time.Sleep(60 * time.Second)
	letters, err := q.DeadLetters(t.Context(), outbox.Filter{})
	require.NoError(t, err)
	stop()

	dead := map[string]bool{}
	for _, l := range letters {
		dead[l.ID] = true
	}
	lags, err := q.Lag(t.Context())
	require.NoError(t, err)
	for _, l := range lags {
		require.Zero(t, l.Waiting+l.Parked, "left in %s: %d waiting, %d parked, oldest %s", l.Destination, l.Waiting, l.Parked, l.Age)
	}
	for i, p := range policies {
		name := fmt.Sprint("d", i)
		w := skies[name]
		require.Empty(t, w.torn, name)
		for id, came := range w.loose {
			require.True(t, came || dead[id], "%s was never delivered", id)
		}
		for key, sent := range w.sent {
			got := w.got[key]
			require.NotEmpty(t, got, "%s in %s", key, name)
			if p == outbox.LatestWins {
				require.Equal(t, sent[len(sent)-1], got[len(got)-1], "the newest of %s in %s comes, and comes last", key, name)
				require.Subset(t, sent, got)
				continue
			}
			var want []string
			for _, id := range sent {
				if !dead[id] {
					want = append(want, id)
				}
			}
			require.Equal(t, want, got, "%s in %s", key, name)
		}
	}
	require.Zero(t, events.count("outbox.found-behind"), "the safety net caught nothing")
}
