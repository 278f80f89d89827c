package outboxtest

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
)

// What order a destination keeps, through all that can delay one of its messages.
var orderScenarios = []scenario{
	{name: "order/through-retries", run: func(e *env) {
		e.use()
		e.answers("a", stumbles(3, func(outbox.Delivery) error { return notYet() }))
		e.relay()
		e.many(300, 12)
		e.settled()
	}},
	{name: "order/through-rate-limits", run: func(e *env) {
		e.use()
		e.answers("a", stumbles(2, func(outbox.Delivery) error {
			return slower(5 * time.Millisecond)
		}))
		e.relay()
		e.many(150, 12)
		e.settled()
	}},
	{name: "order/through-deferrals", run: func(e *env) {
		e.use()
		e.answers("a", stumbles(2, func(outbox.Delivery) error { return outbox.Defer(5*time.Millisecond, "their night") }))
		e.relay()
		e.many(300, 12)
		e.settled()
	}},
	{name: "order/through-an-outage", run: func(e *env) {
		e.use()
		e.relay()
		e.many(60, 5)
		e.delivered()
		e.answers("a", func(context.Context, outbox.Delivery) error { return unavailable() })
		e.many(200, 5)
		time.Sleep(200 * time.Millisecond)
		e.many(100, 5)
		e.answers("a", nil)
		e.settled()
	}},
	{name: "order/through-outages-in-between", run: func(e *env) {
		e.use()
		e.answers("a", stumbles(1, func(outbox.Delivery) error { return unavailable() }))
		e.relay()
		e.many(100, 7)
		e.settled()
	}},
	{name: "order/through-failures-of-all-kinds", run: func(e *env) {
		e.use()
		e.answers("a", stumbles(3, func(d outbox.Delivery) error {
			switch hash(d.ID) / 7 % 5 {
			case 0:
				return outbox.Defer(time.Millisecond, "later")
			case 1:
				return slower(time.Millisecond)
			case 2:
				return unavailable()
			case 3:
				panic("a fault of the handler")
			default:
				return notYet()
			}
		}))
		e.relay()
		e.many(200, 9)
		e.settled()
	}},
	{name: "order/through-a-takeover", run: func(e *env) {
		e.lease = 1500 * time.Millisecond
		e.repeats = -1 // what the killed one had delivered and not yet said
		e.use()
		first := e.child(2 * time.Millisecond)
		e.many(300, 9)
		e.until("some are delivered", func() bool { return e.arrived() > 50 })
		first.kill()
		e.relay()
		e.settled()
	}},
	{name: "order/through-retries-and-a-takeover", run: func(e *env) {
		e.lease = 1500 * time.Millisecond
		e.repeats = -1
		e.use()
		e.answers("a", stumbles(3, func(outbox.Delivery) error { return notYet() }))
		first := e.child(2 * time.Millisecond)
		e.many(200, 9)
		e.until("some are delivered", func() bool { return e.arrived() > 20 })
		e.relay() // shares with the first, and fails now and then
		e.until("more are delivered", func() bool { return e.arrived() > 60 })
		first.kill()
		e.many(100, 9)
		e.settled()
	}},
	{name: "order/through-a-rebalance", run: func(e *env) {
		e.use()
		e.answers("a", stumbles(2, func(d outbox.Delivery) error {
			time.Sleep(time.Millisecond)
			return notYet()
		}))
		e.many(600, 40)
		e.relay()
		time.Sleep(50 * time.Millisecond)
		second := e.relay()
		time.Sleep(50 * time.Millisecond)
		e.relay()
		e.many(200, 40)
		second.end()
		e.settled()
	}},
	{name: "order/through-a-replay", run: func(e *env) {
		e.use()
		e.answers("a", func(_ context.Context, d outbox.Delivery) error {
			if d.Replays == 0 {
				return invalid()
			}
			return nil
		})
		e.relay()
		e.put("k", "k", "k", "l")
		e.letters(2)
		e.put("k", "l")
		// The first of a key is replayed, then the next one is the first.
		for range 20 {
			if e.missing() == 0 {
				break
			}
			_, err := e.q.Replay(e.Context(), outbox.Filter{Destination: "a"}, "ana")
			require.NoError(e, err)
			time.Sleep(100 * time.Millisecond)
		}
		e.settled()
	}},
	{name: "order/serial", run: func(e *env) {
		e.use(e.to("a", func(d *outbox.Destination) { d.Order = outbox.Serial }))
		e.relay()
		e.many(200, 9)
		e.settled()
	}},
	{name: "order/serial-through-failures", run: func(e *env) {
		e.use(e.to("a", func(d *outbox.Destination) { d.Order = outbox.Serial }))
		e.answers("a", stumbles(2, func(d outbox.Delivery) error {
			if hash(d.ID)%2 == 0 {
				return outbox.Defer(time.Millisecond, "later")
			}
			return notYet()
		}))
		e.relay()
		e.many(60, 9)
		e.settled()
	}},
	{name: "order/serial-through-a-takeover", run: func(e *env) {
		e.lease = 1500 * time.Millisecond
		e.repeats = -1
		e.use(e.to("a", func(d *outbox.Destination) { d.Order = outbox.Serial }))
		first := e.child(2 * time.Millisecond)
		e.many(100, 9)
		e.until("some are delivered", func() bool { return e.arrived() > 10 })
		first.kill()
		e.relay()
		e.settled()
	}},
	{name: "order/unordered-passes-what-fails", run: func(e *env) {
		e.use(e.to("a", func(d *outbox.Destination) { d.Order = outbox.Unordered }))
		e.answers("a", func(_ context.Context, d outbox.Delivery) error {
			if d.Topic == "bad" {
				return notYet()
			}
			return nil
		})
		e.relay()
		e.send(outbox.Message{Key: "k", Topic: "bad"})
		e.many(200, 1)
		e.until("all others of the key", func() bool { return e.missing() == 1 })
		e.answers("a", nil)
		e.settled()
	}},
	{name: "order/block-key", run: func(e *env) {
		e.use()
		e.answers("a", refuses("bad"))
		e.relay()
		e.put("k")
		e.send(outbox.Message{ID: "bad", Key: "k"})
		e.put("k", "l", "k")
		e.letters(1)
		e.put("l", "k")
		e.until("the other key", func() bool { return len(e.came("a", "l")) == 2 })
		time.Sleep(100 * time.Millisecond)
		require.Len(e, e.came("a", "k"), 1, "what comes behind the bad one waits")
		e.answers("a", nil)
		n, err := e.q.Replay(e.Context(), outbox.Filter{Key: "k"}, "ana")
		require.NoError(e, err)
		require.Equal(e, 1, n)
		e.settled()
	}},
	{name: "order/block-key-survives-a-new-relay", run: func(e *env) {
		e.use()
		e.answers("a", refuses("bad"))
		first := e.relay()
		e.send(outbox.Message{ID: "bad", Key: "k"})
		e.letters(1)
		first.end()
		e.put("k", "k", "l")
		e.relay()
		e.until("the other key", func() bool { return len(e.came("a", "l")) == 1 })
		time.Sleep(100 * time.Millisecond)
		require.Empty(e, e.came("a", "k"))
		e.giveUp("bad")
		_, err := e.q.Discard(e.Context(), outbox.Filter{IDs: []string{"bad"}}, "ana", "a test")
		require.NoError(e, err)
		e.settled()
	}},
	{name: "order/skip-to-dead", run: func(e *env) {
		e.use(e.to("a", func(d *outbox.Destination) { d.Poison = outbox.SkipToDead }))
		e.answers("a", refuses("bad"))
		e.relay()
		e.put("k")
		e.openTx().send(outbox.Message{ID: "bad", Key: "k"}).forget(1).commit()
		e.put("k", "k")
		e.delivered()
		e.letters(1)
		e.answers("a", nil)
		_, err := e.q.Replay(e.Context(), outbox.Filter{}, "ana")
		require.NoError(e, err)
		e.record.commit(outbox.Message{ID: "bad", To: "a", Key: "k"}) // after those that went on
		e.settled()
	}},
	{name: "order/latest-wins", run: func(e *env) {
		e.use(e.to("a", func(d *outbox.Destination) { d.Poison = outbox.LatestWins }))
		e.answers("a", func(context.Context, outbox.Delivery) error { return unavailable() })
		e.relay()
		for range 10 {
			e.put("k", "l")
		}
		e.until("it was tried", func() bool { return e.events.count("outbox.delivery paused") > 0 })
		e.answers("a", nil)
		e.newestOnly("k", "l")
	}},
	{name: "order/latest-wins-over-what-is-parked", run: func(e *env) {
		e.use(e.to("a", func(d *outbox.Destination) {
			d.Poison, d.Backoff = outbox.LatestWins, outbox.Backoff{Base: time.Hour, Cap: time.Hour}
		}))
		e.answers("a", func(context.Context, outbox.Delivery) error { return notYet() })
		e.relay()
		e.put("k")
		e.until("it is parked", func() bool { return e.number("SELECT count(*) FROM dovetail_parked") == 1 })
		e.answers("a", nil)
		e.put("k")
		e.newestOnly("k")
	}},
	{name: "order/batches-of-one-key", run: func(e *env) {
		e.use(e.batch(true))
		e.relay()
		e.many(1000, 3)
		e.settled()
	}},
	{name: "order/batches-that-fail-in-part", run: func(e *env) {
		e.use(e.batch(false))
		e.answers("a", stumbles(2, func(outbox.Delivery) error { return notYet() }))
		e.relay()
		e.many(500, 40)
		e.settled()
	}},
}

// unavailable says that the destination is down.
func unavailable() error { return dovetail.NewError(dovetail.Unavailable, "connect", "refused") }

// refuses answers that messages with an ID can never be delivered.
func refuses(id string) script {
	return func(_ context.Context, d outbox.Delivery) error {
		if d.ID == id {
			return invalid()
		}
		return nil
	}
}

// notYet is a failure that may pass.
func notYet() error { return dovetail.NewError(dovetail.Transient, "write", "not yet") }

// invalid is a failure that will not pass.
func invalid() error { return dovetail.NewError(dovetail.Invalid, "write", "no such customer") }

// slower says that the destination wants to be called later.
func slower(after time.Duration) error {
	err := dovetail.NewError(dovetail.RateLimited, "write", "slower")
	err.After = after
	return err
}

func hash(text string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(text)) // never fails
	return h.Sum32()
}

// stumbles fails a third of the messages up to n times each.
func stumbles(n int, err func(outbox.Delivery) error) script {
	var mu sync.Mutex
	tried := map[string]int{}
	return func(_ context.Context, d outbox.Delivery) error {
		mu.Lock()
		tried[d.ID]++
		again := hash(d.ID)%3 == 0 && tried[d.ID] <= n
		mu.Unlock()
		if again {
			return err(d)
		}
		return nil
	}
}

// letters waits until there are n dead letters.
func (e *env) letters(n int) {
	e.Helper()
	e.until(fmt.Sprint(n, " dead letters"), func() bool {
		list, err := e.q.DeadLetters(e.Context(), outbox.Filter{})
		require.NoError(e, err)
		return len(list) == n
	})
}

// newestOnly waits until nothing is left, and checks that the last message of each
// key came, after none that is newer.
func (e *env) newestOnly(keys ...string) {
	e.Helper()
	e.until("nothing is left", func() bool { return e.rows() == 0 })
	for _, key := range keys {
		want, got := e.wanted("a", key), e.came("a", key)
		require.NotEmpty(e, got, key)
		require.Equal(e, want[len(want)-1], got[len(got)-1], "the newest of %s", key)
		require.Less(e, len(got), len(want), "older ones are dropped")
		for _, id := range want {
			if !slices.Contains(got, id) {
				e.giveUp(id)
			}
		}
	}
	e.settled()
}

// wanted returns what was committed of a key.
func (r *record) wanted(to, key string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, _ := r.of(to, key)
	return slices.Clone(r.committed[at])
}

// batch is a destination that takes many at a time.
func (e *env) batch(sameKey bool) outbox.Destination {
	return e.to("a", func(d *outbox.Destination) {
		d.Handler, d.AllowSameKey = nil, sameKey
		d.Batch = outbox.BatchHandlerFunc(func(ctx context.Context, batch []outbox.Delivery) []error {
			results := make([]error, len(batch))
			for i, d := range batch {
				results[i] = e.deliver(ctx, d)
			}
			return results
		})
	})
}
