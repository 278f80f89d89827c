package outboxtest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/outbox"
)

// Relays that share the work, come, go, die, freeze and lose their database.
var relayScenarios = []scenario{
	{name: "relays/two-share", run: func(e *env) {
		e.use()
		e.many(400, 60)
		first, second := e.counted(), e.counted()
		e.shared()
		e.many(400, 60)
		e.settled()
		require.Positive(e, first.Load())
		require.Positive(e, second.Load())
	}},
	{name: "relays/one-stops-and-hands-over-at-once", run: func(e *env) {
		e.use()
		e.answers("a", func(context.Context, outbox.Delivery) error { time.Sleep(10 * time.Millisecond); return nil })
		first := e.relay()
		e.relay()
		e.shared()
		var msgs []outbox.Message
		for i := range 600 {
			msgs = append(msgs, outbox.Message{Key: fmt.Sprint("k", i%60)})
		}
		e.send(msgs...)
		e.until("some are delivered", func() bool { return e.arrived() > 100 })
		first.end()
		// The lease is far longer than the test waits: only a hand-over lets the other
		// have all of it.
		e.patience = e.lease / 2
		e.settled()
	}},
	{name: "relays/one-process-stops-and-hands-over", run: func(e *env) {
		e.use()
		first := e.child(2 * time.Millisecond)
		e.many(300, 60)
		e.until("some are delivered", func() bool { return e.arrived() > 50 })
		first.stop()
		e.relay()
		e.patience = e.lease / 2
		e.settled() // none came again
	}},
	{name: "relays/killed-every-second", run: func(e *env) {
		e.lease = time.Second
		e.repeats = -1
		e.use()
		e.many(500, 25)
		kills := 0
		e.until("all is delivered through kills", func() bool {
			c := e.child(3 * time.Millisecond)
			time.Sleep(1200 * time.Millisecond)
			c.kill()
			kills++
			return e.missing() == 0
		})
		// A relay has at most so many in flight and so many to be written when it dies;
		// what it has delivered without writing is bounded by one flush.
		require.LessOrEqual(e, e.again(), kills*60, "few come again with each kill")
		e.relay()
		e.until("the rest is acknowledged", func() bool { return e.rows() == 0 })
		e.settled()
	}},
	// A process that is frozen while it writes holds the one lock that SQLite has.
	{name: "relays/frozen-past-its-lease", on: onServers, run: func(e *env) {
		e.lease = time.Second
		e.repeats = 4 + 60 // what it had in flight and what it had not written
		e.use()
		zombie := e.child(10 * time.Millisecond)
		e.many(200, 20)
		e.until("some are delivered", func() bool { return e.arrived() > 20 })
		zombie.freeze()
		e.relay()
		e.delivered()
		e.put("k0", "k1")
		e.delivered()
		zombie.thaw()
		time.Sleep(500 * time.Millisecond) // it writes what it had: that harms nobody
		e.many(100, 20)
		e.settled()
	}},
	{name: "relays/frozen-while-its-messages-fail", on: onServers, run: func(e *env) {
		e.lease = time.Second
		e.repeats = -1
		e.use()
		zombie := e.child(10 * time.Millisecond)
		e.many(100, 10)
		e.until("some are delivered", func() bool { return e.arrived() > 10 })
		zombie.freeze()
		e.answers("a", stumbles(2, func(outbox.Delivery) error { return outbox.Defer(20*time.Millisecond, "later") }))
		e.relay()
		e.until("the successor works", func() bool { return e.events.count("outbox.delivery deferred") > 3 })
		zombie.thaw()
		e.many(100, 10)
		e.settled()
	}},
	{name: "relays/late-acknowledgement-of-what-is-parked", run: func(e *env) {
		e.use()
		e.answers("a", func(_ context.Context, d outbox.Delivery) error {
			if d.ID == "head" {
				return outbox.Defer(time.Hour, "later")
			}
			return nil
		})
		e.relay()
		e.send(outbox.Message{ID: "head", Key: "k"}, outbox.Message{Key: "k"}, outbox.Message{Key: "k"})
		e.until("they are parked", func() bool { return e.number("SELECT count(*) FROM dovetail_parked") == 3 })
		e.acknowledged("head") // by a relay that had it in flight when its lease ended
		e.settled()
	}},
	{name: "relays/late-acknowledgement-of-what-is-under-way", run: func(e *env) {
		e.use()
		e.answers("a", func(_ context.Context, d outbox.Delivery) error {
			if d.ID != "head" {
				return nil
			}
			e.acknowledged("head")
			return outbox.Defer(time.Hour, "later")
		})
		e.send(outbox.Message{ID: "head", Key: "k"}, outbox.Message{Key: "k"}, outbox.Message{Key: "k"})
		e.relay()
		e.settled()
	}},
	{name: "relays/what-is-parked-is-taken-over", run: func(e *env) {
		e.use()
		e.answers("a", func(_ context.Context, d outbox.Delivery) error {
			if d.ID == "head" && e.attempts("head") == 1 {
				return outbox.Defer(500*time.Millisecond, "later")
			}
			return nil
		})
		first := e.relay()
		e.send(outbox.Message{ID: "head", Key: "k"}, outbox.Message{Key: "k"}, outbox.Message{Key: "k"})
		e.until("they are parked", func() bool { return e.number("SELECT count(*) FROM dovetail_parked") == 3 })
		first.end()
		e.put("k")
		e.relay()
		e.settled()
	}},
	{name: "relays/late-parking-is-refused", run: func(e *env) {
		e.use()
		e.answers("a", func(_ context.Context, d outbox.Delivery) error {
			if d.ID == "head" && e.attempts("head") == 1 {
				return outbox.Defer(300*time.Millisecond, "later")
			}
			return nil
		})
		e.relay()
		e.send(outbox.Message{ID: "head", Key: "k"}, outbox.Message{Key: "k"})
		e.until("they are parked", func() bool { return e.number("SELECT count(*) FROM dovetail_parked") == 2 })
		p := outbox.Parking{
			Seq: int64(e.number("SELECT id FROM dovetail_parked WHERE message = 'head'")), Destination: "a",
			Shard: e.number("SELECT shard FROM dovetail_parked WHERE message = 'head'"), State: outbox.Dead,
		}
		_, err := e.keeper.SettleMessages(e.Context(), outbox.Settlement{Relay: "a zombie", Park: []outbox.Parking{p}})
		require.NoError(e, err)
		e.settled()
	}},
	{name: "relays/three-come-and-go-under-eight-writers", run: func(e *env) {
		e.use()
		o := e.office(8, 30)
		for range 4 {
			var last *relay
			for range 3 {
				last = e.relay()
			}
			time.Sleep(300 * time.Millisecond)
			last.end()
			time.Sleep(200 * time.Millisecond)
			for _, r := range e.relays[:len(e.relays)-1] {
				r.end()
			}
			e.relays = nil
		}
		require.Zero(e, o.close(), "%v", o.last)
		e.relay()
		e.settled()
	}},
	{name: "relays/cut-while-reading", on: onServers, run: func(e *env) { e.disturbed(cuts(3, reading, false), cuts(3, reading, true)) }},
	{name: "relays/cut-while-settling", on: onServers, run: func(e *env) { e.disturbed(cuts(3, settling, false), cuts(3, settling, true)) }},
	{name: "relays/cut-while-renewing", on: onServers, run: func(e *env) {
		e.lease = 3 * time.Second // renewed every second
		e.disturbed(cuts(1, renewing, false))
	}},
	{name: "relays/reading-fails-for-a-while", run: func(e *env) { e.disturbed(fails(4, reading)) }},
	{name: "relays/settling-fails-for-a-while", run: func(e *env) { e.disturbed(fails(4, settling)) }},
	{name: "relays/answers-to-settling-are-lost", run: func(e *env) { e.disturbed(loses(4, settling)) }},
	{name: "relays/answers-to-parking-are-lost", run: func(e *env) {
		e.answers("a", stumbles(3, func(outbox.Delivery) error { return outbox.Defer(time.Millisecond, "later") }))
		e.disturbed(loses(4, parking))
	}},
	{name: "relays/answers-to-reading-are-lost", run: func(e *env) { e.disturbed(loses(4, reading)) }},
	{name: "relays/a-call-of-the-database-hangs", run: func(e *env) {
		free := make(chan struct{})
		e.use()
		e.relay()
		e.put("k")
		e.until("it is acknowledged", func() bool { return e.rows() == 0 })
		lift := e.tap.on(hangs(settling, free))
		// In one transaction: on SQLite, what hangs holds the lock that a second needs.
		e.openTx().put("k", "l").commit()
		time.Sleep(300 * time.Millisecond)
		lift()
		close(free)
		e.settled()
	}},
	{name: "relays/lost-lease-is-taken-up-again", run: func(e *env) {
		e.lease = time.Second
		e.repeats = -1
		e.use()
		e.answers("a", func(context.Context, outbox.Delivery) error { time.Sleep(time.Millisecond); return nil })
		e.relay()
		e.many(200, 10)
		e.until("it owns all", func() bool { return e.number("SELECT count(*) FROM dovetail_shard WHERE relay <> ''") == outbox.Shards })
		others := "SELECT count(*) FROM dovetail_shard WHERE relay <> " + map[kind]string{postgres: "$1", mariadb: "?", sqlite: "?"}[e.kind]
		var owner string
		require.NoError(e, e.db().QueryRow("SELECT max(relay) FROM dovetail_shard").Scan(&owner))
		e.tap.on(fails(0, writing))
		e.relayOn(e.open(e.dsn, &tap{})) // on another machine, whose database answers
		e.until("the other has taken over", func() bool { return e.number(others, owner) == outbox.Shards })
		e.tap.clear()
		e.many(200, 10)
		e.until("the first has noticed", func() bool { return e.events.count("outbox.lease lost") > 0 })
		e.settled()
	}},
	{name: "relays/all-are-dead-and-a-producer-tells", run: func(e *env) {
		told := make(chan alert.Notification, 100)
		sink := alert.SinkFunc("test", func(_ context.Context, n alert.Notification) error {
			select {
			case told <- n:
			default:
			}
			return nil
		})
		var err error
		e.alerts, err = alert.New(alert.Config{AllowSilence: true, Routes: []alert.Route{{To: []alert.Sink{sink}, Wait: -1}}})
		require.NoError(e, err)
		ctx, cancel := context.WithCancel(context.WithoutCancel(e.Context()))
		var manager sync.WaitGroup
		manager.Go(func() { _ = e.alerts.Run(ctx) }) // it ends with the scenario
		defer manager.Wait()
		defer cancel()
		e.lease = time.Second
		e.repeats = -1
		e.use(e.to("a", func(d *outbox.Destination) { d.StuckAfter = time.Second }))
		c := e.child(0)
		e.put("k")
		e.delivered()
		c.kill()
		e.put("k")
		e.until("somebody is told", func() bool {
			e.put("l")
			time.Sleep(50 * time.Millisecond)
			for len(told) > 0 {
				if n := <-told; n.Problem.Rule == alert.Stuck {
					return true
				}
			}
			return false
		})
		e.relay()
		e.settled()
	}},
}

// acknowledged lets a relay that owns nothing say that a message was delivered.
func (e *env) acknowledged(id string) {
	e.Helper()
	seq := e.number("SELECT coalesce((SELECT id FROM dovetail_message WHERE message = '" + id + "'), (SELECT id FROM dovetail_parked WHERE message = '" + id + "'))")
	_, err := e.store.SettleMessages(context.WithoutCancel(e.Context()), outbox.Settlement{Relay: "a zombie", Done: []int64{int64(seq)}})
	require.NoError(e, err)
	e.giveUp(id)
}

// shared waits until two relays have half of the shards each.
func (e *env) shared() {
	e.Helper()
	e.until("each has half of the shards", func() bool {
		return e.number("SELECT count(DISTINCT relay) FROM dovetail_shard WHERE relay <> ''") == 2 &&
			e.number("SELECT max(n) FROM (SELECT count(*) AS n FROM dovetail_shard GROUP BY relay) s") == outbox.Shards/2
	})
}

// counted starts a relay and returns how many it has delivered.
func (e *env) counted() *atomic.Int64 {
	var n atomic.Int64
	ds := slices.Clone(e.destinations)
	for i := range ds {
		inner := ds[i].Handler
		ds[i].Handler = outbox.HandlerFunc(func(ctx context.Context, d outbox.Delivery) error {
			n.Add(1)
			return inner.Handle(ctx, d)
		})
	}
	own := e.destinations
	e.destinations = ds
	e.relay()
	e.destinations = own
	return &n
}

// disturbed delivers while faults happen, all of which must have happened in the
// end. What was written and not told is written again, and nothing comes twice.
func (e *env) disturbed(faults ...*fault) {
	e.Helper()
	e.use()
	e.relay()
	e.many(50, 10)
	e.delivered()
	for _, f := range faults {
		lift := e.tap.on(f)
		e.until("the fault has happened", func() bool {
			if e.missing() < 50 {
				e.many(20, 10)
			}
			return f.count() >= f.most
		})
		lift()
	}
	e.many(50, 10)
	e.settled()
}
