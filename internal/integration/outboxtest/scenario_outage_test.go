package outboxtest

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
)

// Destinations that do not answer, and messages that nobody can deliver.
var outageScenarios = []scenario{
	{name: "outage/20000-wait", run: func(e *env) {
		// Long, it is the outage that the README answers for: DOVETAIL_OUTAGE=60m.
		waiting, probe, pace, others := 20_000, 300*time.Millisecond, 40*time.Millisecond, 30
		if text := os.Getenv("DOVETAIL_OUTAGE"); text != "" {
			long, err := time.ParseDuration(text)
			require.NoError(e, err, "DOVETAIL_OUTAGE")
			waiting, probe, pace, others = 100_000, 2*time.Second, time.Second, int(long/time.Second)
			e.patience = 5 * time.Minute
		}
		e.use(e.to("a", func(d *outbox.Destination) { d.ProbeEvery = probe }), e.to("b"))
		var probes, burnt atomic.Int64
		down := func(context.Context, outbox.Delivery) error { probes.Add(1); return unavailable() }
		e.answers("a", down)
		var msgs []outbox.Message
		for i := range waiting {
			msgs = append(msgs, outbox.Message{To: "a", Key: fmt.Sprint("k", i%500), Payload: make([]byte, 100)})
		}
		for part := range slices.Chunk(msgs, 2000) {
			e.send(part...)
		}
		e.relay()
		e.until("it is found down", func() bool { return probes.Load() > 0 })
		time.Sleep(200 * time.Millisecond) // those that were under way have ended
		began, before := time.Now(), probes.Load()
		for range others { // the other destination goes on
			e.send(outbox.Message{To: "b", Key: "k"})
			time.Sleep(pace)
		}
		e.until("the other destination has all", func() bool { return len(e.came("b", "k")) == others })
		require.LessOrEqual(e, probes.Load()-before, int64(time.Since(began)/probe)+1, "one probe at a time")
		require.Zero(e, e.number("SELECT count(*) FROM dovetail_parked"), "nothing is written for those that wait")
		e.answers("a", func(_ context.Context, d outbox.Delivery) error {
			if d.Attempt != 1 {
				burnt.Add(1)
			}
			return nil
		})
		recovered := time.Now()
		e.until("the first is delivered", func() bool { return e.arrived() > others })
		e.Logf("%d waited; %d probes in %s; the first was delivered %s after the recovery", waiting, probes.Load()-before, recovered.Sub(began).Round(time.Second), time.Since(recovered).Round(time.Millisecond))
		require.Less(e, time.Since(recovered), 15*time.Second, "soon after the recovery")
		e.settled()
		require.Zero(e, burnt.Load(), "attempts were burnt")
	}},
	{name: "outage/of-one-of-three", run: func(e *env) {
		e.use(e.to("a"), e.to("b"), e.to("c"))
		e.answers("b", func(context.Context, outbox.Delivery) error { return unavailable() })
		e.relay()
		for range 30 {
			e.send(outbox.Message{To: "a", Key: "k"}, outbox.Message{To: "b", Key: "k"}, outbox.Message{To: "c", Key: "k"})
		}
		e.until("the others have all", func() bool { return len(e.came("a", "k")) == 30 && len(e.came("c", "k")) == 30 })
		require.Empty(e, e.came("b", "k"))
		e.answers("b", nil)
		e.settled()
	}},
	{name: "outage/survives-a-restart", run: func(e *env) {
		e.use()
		e.answers("a", func(context.Context, outbox.Delivery) error { return unavailable() })
		first := e.relay()
		e.many(100, 9)
		e.until("it is found down", func() bool { return e.events.count("outbox.delivery paused") > 0 })
		first.end()
		e.relay()
		e.until("it is found down again", func() bool { return e.events.count("outbox.delivery paused") > 1 })
		e.answers("a", nil)
		e.settled()
	}},
	{name: "outage/of-destination-and-database-at-once", run: func(e *env) {
		e.use()
		e.relay()
		e.answers("a", func(context.Context, outbox.Delivery) error { return unavailable() })
		e.many(100, 9)
		e.until("it is found down", func() bool { return e.events.count("outbox.delivery paused") > 0 })
		e.tap.on(fails(0, slices.Concat(reading, writing)))
		time.Sleep(300 * time.Millisecond)
		e.answers("a", nil)
		e.until("the database fails too", func() bool { return e.events.count("outbox.relay") > 2 })
		e.tap.clear()
		e.settled()
	}},
	{name: "outage/a-refused-login", run: func(e *env) {
		e.use()
		e.answers("a", func(context.Context, outbox.Delivery) error {
			return dovetail.NewError(dovetail.Auth, "log in", "expired")
		})
		e.relay()
		e.many(50, 9)
		e.until("it is found out", func() bool { return e.events.count("outbox.delivery paused") > 0 })
		e.answers("a", nil)
		e.settled()
	}},
	{name: "outage/acknowledgements-fail-until-the-relay-ends", run: func(e *env) {
		e.lease = time.Second
		e.use()
		e.many(200, 20)
		e.tap.on(fails(0, settling))
		first := e.relay()
		e.delivered()
		first.end()
		e.tap.clear()
		require.Equal(e, 200, e.rows())
		e.repeats = 200 // each once, and no more
		e.relay()
		e.until("all is acknowledged", func() bool { return e.rows() == 0 })
		e.settled()
	}},
	{name: "outage/30-poison-keys-among-300", run: func(e *env) {
		e.use(e.to("a", func(d *outbox.Destination) { d.Attempts = 3 }))
		poison := func(key string) bool { return hash(key)%10 == 0 }
		e.answers("a", func(_ context.Context, d outbox.Delivery) error {
			switch {
			case !poison(d.Key):
				return nil
			case hash(d.Key)%3 == 0:
				panic("a fault of the handler")
			default:
				return notYet()
			}
		})
		e.relay()
		e.many(900, 300)
		bad := 0
		for i := range 300 {
			if poison(fmt.Sprint("k", i)) {
				bad++
			}
		}
		e.until("all others are delivered", func() bool { return e.missing() == 3*bad })
		e.letters(bad)
		e.answers("a", nil)
		n, err := e.q.Replay(e.Context(), outbox.Filter{Destination: "a"}, "ana")
		require.NoError(e, err)
		require.Equal(e, bad, n)
		e.settled()
	}},
	{name: "outage/in-doubt-is-never-repeated", run: func(e *env) {
		e.use()
		e.answers("a", func(_ context.Context, d outbox.Delivery) error {
			if d.ID == "doubt" {
				return dovetail.NewError(dovetail.InDoubt, "write", "the answer is lost")
			}
			return nil
		})
		first := e.relay()
		e.openTx().send(outbox.Message{ID: "doubt", Key: "k"}).commit()
		e.until("it is in doubt", func() bool {
			list, err := e.q.DeadLetters(e.Context(), outbox.Filter{InDoubt: true})
			require.NoError(e, err)
			return len(list) == 1
		})
		e.put("k", "l")
		first.end()
		e.relay()
		e.until("the other key goes on", func() bool { return len(e.came("a", "l")) == 1 })
		time.Sleep(200 * time.Millisecond)
		require.Equal(e, 1, e.attempts("doubt"))
		e.giveUp("doubt")
		_, err := e.q.Discard(e.Context(), outbox.Filter{InDoubt: true}, "ana", "it had arrived")
		require.NoError(e, err)
		e.settled()
	}},
}
