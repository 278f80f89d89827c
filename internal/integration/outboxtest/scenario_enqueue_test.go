package outboxtest

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/outbox"
)

// How messages come into the queue.
var enqueueScenarios = []scenario{
	{name: "enqueue/committed", run: func(e *env) {
		e.use()
		e.relay()
		e.put("k", "k", "l")
		e.settled()
	}},
	{name: "enqueue/rolled-back", run: func(e *env) {
		e.use()
		e.relay()
		e.openTx().put("k", "k", "l").rollback()
		e.put("k")
		e.settled()
	}},
	{name: "enqueue/savepoint-rolled-back", run: func(e *env) {
		e.use()
		e.relay()
		e.openTx().put("k").exec("SAVEPOINT s").put("k", "l").forget(2).exec("ROLLBACK TO SAVEPOINT s").put("k").commit()
		e.settled()
	}},
	{name: "enqueue/savepoint-released", run: func(e *env) {
		e.use()
		e.relay()
		e.openTx().put("k").exec("SAVEPOINT s").put("k", "l").exec("RELEASE SAVEPOINT s").put("k").commit()
		e.settled()
	}},
	{name: "enqueue/several-keys-in-one-transaction", run: func(e *env) {
		e.use()
		e.relay()
		e.openTx().put("k", "l", "k", "m", "l", "k", "").commit()
		e.settled()
	}},
	{name: "enqueue/5000-in-one-transaction", run: func(e *env) {
		e.use()
		e.relay()
		var msgs []outbox.Message
		for i := range 5000 {
			msgs = append(msgs, outbox.Message{Key: fmt.Sprint("k", i%50)})
		}
		e.send(msgs...)
		e.settled()
	}},
	{name: "enqueue/payloads-of-all-sizes", run: func(e *env) {
		every := make([]byte, 256)
		for i := range every {
			every[i] = byte(i)
		}
		same := e.compares()
		for _, p := range [][]byte{nil, {}, {0}, every, make([]byte, 8192), make([]byte, 8193), []byte(strings.Repeat(string(every), 3000))} {
			same(outbox.Message{Key: "k", Payload: p})
		}
		e.settled()
	}},
	{name: "enqueue/payload-of-a-megabyte", run: func(e *env) {
		same := e.compares()
		same(outbox.Message{Key: "k", Payload: []byte(strings.Repeat("\x00\xff'\"\\", 1<<20/5))})
		e.settled()
	}},
	{name: "enqueue/too-large-is-refused", run: func(e *env) {
		e.use()
		e.relay()
		x := e.openTx()
		err := e.q.Enqueue(e.Context(), x.tx, outbox.Message{To: "a", Payload: make([]byte, 1<<20+1)})
		require.ErrorIs(e, err, outbox.ErrTooLarge)
		x.put("k").commit() // the transaction goes on
		e.settled()
	}},
	{name: "enqueue/headers-with-quotes-and-unicode", run: func(e *env) {
		same := e.compares()
		same(outbox.Message{Key: "k", Headers: map[string]string{
			`"quote'`: `{"a":"\"}`, "ünï": "日本\u0000\u2028\U0001F600", "": "", "empty": "", "line": "a\r\nb\tc",
		}})
		same(outbox.Message{Key: "k", Topic: "thème'\"\\;--", Headers: map[string]string{"long": strings.Repeat("é", 40_000)}})
		e.settled()
	}},
	{name: "enqueue/texts-of-1024-bytes", run: func(e *env) {
		same := e.compares()
		long := strings.Repeat("é", 510)
		same(outbox.Message{ID: long + "id", Key: long + "key1", Topic: long + "t", DedupKey: long + "d"})
		same(outbox.Message{ID: long + "ie", Key: long + "key2", DedupKey: long + "e"})
		same(outbox.Message{ID: strings.Repeat("\U0001F600", 256), Key: strings.Repeat("\U0001F600", 256)})
		e.settled()
	}},
	{name: "enqueue/keys-that-look-alike", run: func(e *env) {
		e.use()
		alike := []string{"key", "KEY", "key ", " key", "key\t", "k\u00e9y", "ke\u0301y", "ｋey", "keY\u200b", "ß", "ss", "ı", "i", "I"}
		// One that fails blocks its own key and none that looks like it.
		e.answers("a", func(_ context.Context, d outbox.Delivery) error {
			if d.Key == "key" {
				return notYet()
			}
			return nil
		})
		e.relay()
		for range 2 {
			e.put(alike...)
		}
		e.until("all but the one key", func() bool { return e.missing() <= 2 })
		for _, key := range alike[1:] {
			require.Len(e, e.came("a", key), 2, "%q", key)
		}
		e.answers("a", nil)
		e.settled()
	}},
	{name: "enqueue/dedup-in-one-transaction", run: func(e *env) {
		e.use()
		e.relay()
		e.openTx().send(outbox.Message{Key: "k", DedupKey: "d"}).send(outbox.Message{Key: "k", DedupKey: "d"}).forget(1).put("k").commit()
		e.openTx().send(outbox.Message{Key: "k", DedupKey: "d"}).forget(1).commit()
		e.openTx().send(outbox.Message{Key: "k", DedupKey: "D"}).send(outbox.Message{Key: "k", DedupKey: "d "}).commit()
		e.settled()
	}},
	{name: "enqueue/dedup-of-two-transactions-at-once", on: onServers, run: func(e *env) {
		e.use()
		e.relay()
		first := e.openTx().send(outbox.Message{Key: "k", DedupKey: "d"})
		done := e.blocked(func() { e.openTx().send(outbox.Message{Key: "k", DedupKey: "d"}).forget(1).commit() })
		first.commit()
		<-done
		e.settled()
	}},
	{name: "enqueue/dedup-after-the-first-rolled-back", on: onServers, run: func(e *env) {
		e.use()
		e.relay()
		first := e.openTx().send(outbox.Message{Key: "k", DedupKey: "d"})
		done := e.blocked(func() { e.openTx().send(outbox.Message{Key: "k", DedupKey: "d"}).commit() })
		first.rollback()
		<-done
		e.settled()
	}},
	{name: "enqueue/dedup-after-a-rollback", run: func(e *env) {
		e.use()
		e.relay()
		e.openTx().send(outbox.Message{Key: "k", DedupKey: "d"}).rollback()
		e.send(outbox.Message{Key: "k", DedupKey: "d"})
		e.settled()
	}},
	{name: "enqueue/dedup-is-per-destination", run: func(e *env) {
		e.use(e.to("a"), e.to("b"))
		e.relay()
		e.send(outbox.Message{To: "a", DedupKey: "d"}, outbox.Message{To: "b", DedupKey: "d"})
		e.settled()
	}},
	{name: "enqueue/to-two-destinations-at-once", run: func(e *env) {
		e.use(e.to("a"), e.to("b"))
		e.relay()
		for range 20 {
			e.send(outbox.Message{To: "a", Key: "k"}, outbox.Message{To: "b", Key: "k"})
		}
		e.settled()
	}},
	{name: "enqueue/scheduled", run: func(e *env) {
		e.use()
		e.relay()
		due := time.Now().Add(700 * time.Millisecond)
		early := false
		e.answers("a", func(_ context.Context, d outbox.Delivery) error {
			early = early || (d.Topic == "later" && time.Now().Before(due.Add(-time.Millisecond)))
			return nil
		})
		e.send(outbox.Message{Topic: "later", Due: due}, outbox.Message{Due: time.Now().Add(-time.Hour)})
		e.settled()
		require.False(e, early, "it came before it was due")
	}},
	{name: "enqueue/scheduled-does-not-hold-up-its-key", run: func(e *env) {
		e.use()
		e.relay()
		e.openTx().send(outbox.Message{ID: "later", Key: "k", Due: time.Now().Add(3 * time.Second)}).forget(1).commit()
		e.put("k", "k")
		e.delivered()
		e.record.commit(outbox.Message{ID: "later", To: "a", Key: "k"}) // it comes last
		e.settled()
	}},
	{name: "enqueue/scheduled-and-rolled-back", run: func(e *env) {
		e.use()
		e.relay()
		due := time.Now().Add(50 * time.Millisecond)
		e.openTx().send(outbox.Message{Key: "k", Due: due}).rollback()
		e.send(outbox.Message{Key: "l", Due: due})
		e.settled()
	}},
	{name: "enqueue/open-for-5s-while-others-commit", on: onServers, run: func(e *env) {
		e.use()
		e.relay()
		slow := e.openTx().put("slow", "slow")
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			e.put("quick", "")
			e.openTx().put("gone").rollback()
		}
		e.delivered()
		slow.commit()
		e.settled()
	}},
	{name: "enqueue/long-transactions-of-one-key-in-turn", on: onServers, run: func(e *env) {
		e.use()
		e.relay()
		// Each waits for the row of the key, as the business does, and holds ids of
		// another key before and after.
		o := e.office(8, 1)
		time.Sleep(1500 * time.Millisecond)
		require.Zero(e, o.close(), "%v", o.last)
		e.settled()
	}},
	{name: "enqueue/order-is-that-of-the-key", on: onServers, run: func(e *env) {
		e.use()
		for range 10 { // whoever began first comes second
			early := e.openTx().put("other")
			e.put("k")
			early.put("k").commit()
		}
		e.relay()
		e.settled()
	}},
	{name: "enqueue/two-messages-of-one-transaction-in-two-holes", on: onServers, run: func(e *env) {
		e.use()
		e.relay()
		// For the reader the first and the last of the slow one lie in holes of their
		// own, since others come between them.
		for range 15 {
			slow := e.openTx().put("k")
			e.put("x")
			slow.put("k")
			e.put("y")
			e.delivered()
			slow.put("k").commit()
			e.put("k")
		}
		e.settled()
	}},
	{name: "enqueue/no-relay-runs", run: func(e *env) {
		e.use()
		e.many(300, 7)
		require.Zero(e, e.arrived())
		e.relay()
		e.settled()
	}},
	{name: "enqueue/by-many-writers-at-once", run: func(e *env) {
		e.use()
		e.relay()
		o := e.office(8, 20)
		time.Sleep(2 * time.Second)
		require.Zero(e, o.close(), "%v", o.last)
		e.settled()
	}},
	{name: "enqueue/unknown-destination-is-refused", run: func(e *env) {
		e.use()
		x := e.openTx()
		require.ErrorIs(e, e.q.Enqueue(e.Context(), x.tx, outbox.Message{To: "a"}, outbox.Message{To: "b"}), outbox.ErrUnknownDestination)
		x.commit()
		require.Zero(e, e.rows(), "none is stored, or all")
	}},
}

// compares starts a relay and returns what sends a message and checks that it
// arrives as it was.
func (e *env) compares() func(outbox.Message) {
	e.use()
	var mu sync.Mutex
	got := map[string]outbox.Delivery{}
	e.answers("a", func(_ context.Context, d outbox.Delivery) error {
		mu.Lock()
		defer mu.Unlock()
		got[d.ID] = d
		return nil
	})
	e.relay()
	return func(m outbox.Message) {
		e.Helper()
		if m.ID == "" {
			m.ID = e.name()
		}
		e.send(m)
		e.delivered()
		mu.Lock()
		defer mu.Unlock()
		d := got[m.ID]
		require.Equal(e, string(m.Payload), string(d.Payload))
		require.True(e, maps.Equal(m.Headers, d.Headers), "%q", d.Headers)
		require.Equal(e, []string{m.Key, m.Topic, "a"}, []string{d.Key, d.Topic, d.To})
	}
}

// blocked starts f, which must wait for a transaction, and returns what is closed
// when it has ended.
func (e *env) blocked(f func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
		e.Fatal("it did not wait for the other transaction")
	case <-time.After(200 * time.Millisecond):
	}
	return done
}
