package dovetailtest

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/tectari/dovetail/idempotency"
	"github.com/tectari/dovetail/outbox"
)

func testLedgerRelease(c *ledgerCase) {
	first := c.won("r", time.Hour)
	c.mark(first)
	c.must(c.store.Release(c.ctx, idempotency.Release{Key: first.Key, Fence: first.Fence, NotApplied: true, Cause: "invalid"}), "release with proof")
	e := c.get("r")
	c.is(e.State, idempotency.Claimed, "proven: nothing happened")
	c.is(e.Cause, "invalid", "the cause is kept")
	second := c.won("r", time.Hour)
	c.mark(second)
	c.must(c.store.Release(c.ctx, idempotency.Release{Key: second.Key, Fence: second.Fence}), "release without proof")
	c.is(c.get("r").State, idempotency.Doubt, "not proven")
	third := c.won("r", time.Hour)
	c.is(third.State, idempotency.Doubt, "the doubt stays with the next claim")
	c.mark(third)
	c.is(c.get("r").Unsure, true, "an earlier request is in doubt")
	c.must(c.store.Release(c.ctx, idempotency.Release{Key: third.Key, Fence: third.Fence, NotApplied: true}), "release with proof for the second request")
	c.is(c.get("r").State, idempotency.Doubt, "proof about the second request says nothing about the first")
	fourth := c.won("r", time.Hour)
	c.must(c.store.MarkSending(c.ctx, idempotency.Mark{Key: fourth.Key, Fence: fourth.Fence, Fingerprint: ledgerA, Settled: true}), "mark, earlier ones settled")
	c.must(c.store.Release(c.ctx, idempotency.Release{Key: fourth.Key, Fence: fourth.Fence, NotApplied: true}), "release with proof")
	c.is(c.get("r").State, idempotency.Claimed, "all of them are settled")
	fifth := c.won("r", time.Hour)
	c.mark(fifth)
	c.must(c.store.Release(c.ctx, idempotency.Release{Key: fifth.Key, Fence: fifth.Fence}), "release without proof")
	sixth := c.won("r", time.Hour)
	c.must(c.store.Release(c.ctx, idempotency.Release{Key: sixth.Key, Fence: sixth.Fence, NotApplied: true, Settled: true, By: "ann"}), "a person says no")
	e = c.get("r")
	c.is(e.State, idempotency.Claimed, "a person settled it")
	c.is(e.By, "ann", "who")
}

func testLedgerTimes(c *ledgerCase) {
	const tick = 5 * time.Millisecond
	first := c.won("r", time.Hour)
	c.mark(first)
	sent := c.get("r")
	c.is(sent.FirstSent, sent.LastSent, "sent once")
	if sent.FirstSent.IsZero() {
		c.t.Fatal("sent, but no time")
	}
	time.Sleep(tick)
	c.must(c.store.Release(c.ctx, idempotency.Release{Key: first.Key, Fence: first.Fence}), "release without proof")
	given := c.get("r")
	if !given.LastSent.After(sent.LastSent) {
		c.t.Fatal("a request may have been sent until it was given up on, not only until it was marked")
	}
	c.is(given.FirstSent, sent.FirstSent, "the first time stays")
	time.Sleep(tick)
	second := c.won("r", time.Hour)
	c.must(c.store.Release(c.ctx, idempotency.Release{Key: second.Key, Fence: second.Fence, NotApplied: true}), "nothing was sent by this claim")
	c.is(c.get("r").LastSent, given.LastSent, "a claim that sends nothing does not move the time, or a wait would never end")
	third := c.won("r", time.Hour)
	c.mark(third)
	again := c.get("r")
	c.is(again.FirstSent, sent.FirstSent, "the key window counts from the first time")
	if !again.LastSent.After(given.LastSent) {
		c.t.Fatal("sent again, but LastSent is old")
	}
	c.must(c.store.Release(c.ctx, idempotency.Release{Key: third.Key, Fence: third.Fence}), "release without proof")
	fourth := c.won("r", time.Hour)
	c.must(c.store.MarkSending(c.ctx, idempotency.Mark{Key: fourth.Key, Fence: fourth.Fence, Settled: true}), "mark, earlier ones settled")
	if !c.get("r").FirstSent.After(sent.FirstSent) {
		c.t.Fatal("a new beginning has a new first time")
	}
}

func testLedgerSweep(c *ledgerCase) {
	kinds := map[string]idempotency.Kind{"rec": idempotency.Record, "once": idempotency.Once, "op1": idempotency.Operation, "op2": idempotency.Operation, "open": idempotency.Operation}
	for id, kind := range kinds {
		cl := c.claim(idempotency.ClaimRequest{Key: ledgerKey(id), Kind: kind, Fingerprint: ledgerA, Lease: time.Hour})
		if id != "open" {
			c.must(c.store.Complete(c.ctx, idempotency.Completion{Key: cl.Key, Fence: cl.Fence, Fingerprint: ledgerA}), "complete")
		}
	}
	sweep := func(age time.Duration, limit, want int, why string) {
		n, err := c.store.Sweep(c.ctx, age, limit)
		c.must(err, "sweep")
		c.is(n, want, why)
	}
	sweep(time.Hour, 10, 0, "nothing is old")
	time.Sleep(5 * time.Millisecond)
	sweep(time.Millisecond, 1, 1, "the limit holds")
	sweep(time.Millisecond, 10, 1, "the other operation; links and what is open stay")
	for _, id := range []string{"rec", "once", "open"} {
		c.get(id)
	}
}

func testLedgerOpen(c *ledgerCase) {
	l, ok := c.store.(idempotency.Lister)
	if !ok {
		c.t.Skip("the store does not implement idempotency.Lister, which is optional")
	}
	for _, id := range []string{"a", "b", "c", "d"} {
		lease := time.Hour
		if id == "d" {
			lease = 0
		}
		cl := c.won(id, lease)
		if id != "a" {
			c.mark(cl) // a is claimed; c keeps sending; d's worker is gone
		}
		if id == "b" {
			c.must(c.store.Release(c.ctx, idempotency.Release{Key: cl.Key, Fence: cl.Fence}), "release without proof")
		}
	}
	list := func(after string, limit int, want string) {
		open, err := l.Open(c.ctx, ledgerKey(after), limit)
		c.must(err, "open")
		var got strings.Builder
		for _, e := range open {
			got.WriteString(e.Key.ID)
		}
		c.is(got.String(), want, "what is open after "+strconv.Quote(after))
	}
	list("", 10, "bd")
	list("", 1, "b")
	list("b", 10, "d")
	list("d", 10, "")
}

func testLedgerTx(c *ledgerCase) {
	s, ok := c.store.(idempotency.TxStore)
	queue, transacts := c.store.(outbox.Store)
	if !ok || !transacts {
		c.t.Skip("the store does not implement idempotency.TxStore and outbox.Store, which are optional")
	}
	cl := c.won("r", time.Hour)
	c.mark(cl)
	done := idempotency.Completion{Key: cl.Key, Fence: cl.Fence, Fingerprint: ledgerA, Ref: idempotency.Ref{ID: "1"}}
	no := errors.New("no")
	err := queue.Transact(c.ctx, func(ctx context.Context, tx outbox.Tx) error {
		c.must(s.CompleteTx(ctx, tx, done), "complete")
		return no
	})
	c.is(errors.Is(err, no), true, "the transaction is rolled back")
	c.is(c.get("r").State, idempotency.Sending, "and the completion with it")
	c.must(queue.Transact(c.ctx, func(ctx context.Context, tx outbox.Tx) error { return s.CompleteTx(ctx, tx, done) }), "complete")
	c.is(c.get("r").State, idempotency.Done, "committed")
	if s.CompleteTx(c.ctx, nil, done) == nil {
		c.t.Fatal("a transaction of another kind is refused")
	}
}

// testLedgerModel does the same random things to the store and to the Apply
// methods, and compares what there is after each.
func testLedgerModel(c *ledgerCase) {
	rng := rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- a test's history
	k := ledgerKey("r")
	var e idempotency.Entry
	found := false
	past := time.Now().Add(-time.Hour) // before the store's time, however coarse
	for step := range 400 {
		fp := []idempotency.Fingerprint{ledgerA, ledgerB}[rng.IntN(2)]
		fence := e.Fence - int64(rng.IntN(5)/4)
		holds := found && fence == e.Fence
		yes, seq := rng.IntN(2) == 0, int64(rng.IntN(6))
		var err error
		refused := !holds || e.State == idempotency.Done
		switch rng.IntN(7) {
		case 0, 1, 2:
			r := idempotency.ClaimRequest{Key: k, Kind: idempotency.Record, Fingerprint: fp, Seq: seq, Lease: time.Duration(rng.IntN(3)/2) * time.Hour}
			got := c.claim(r)
			c.is(got.Verdict, r.Apply(&e, found, got.Now), "verdict at step "+strconv.Itoa(step))
			found, refused = true, false
		case 3:
			m := idempotency.Mark{Key: k, Fence: fence, Fingerprint: fp, Seq: seq, Request: []byte{byte(step)}, Settled: yes}
			if err = c.store.MarkSending(c.ctx, m); !refused {
				m.Apply(&e, past)
			}
		case 4:
			d := idempotency.Completion{Key: k, Fence: fence, Fingerprint: fp, Ref: idempotency.Ref{ID: strconv.Itoa(step)}, By: "x"}
			refused = !holds
			if err = c.store.Complete(c.ctx, d); !refused {
				d.Apply(&e, past)
			}
		case 5:
			r := idempotency.Release{Key: k, Fence: fence, NotApplied: yes, Settled: rng.IntN(6) == 0, Cause: strconv.Itoa(step)}
			if err = c.store.Release(c.ctx, r); !refused {
				r.Apply(&e, past)
			}
		default: // the worker is gone
			if err = c.store.Renew(c.ctx, k, fence, 0); !refused {
				e.LeaseUntil = past
			}
		}
		if refused {
			c.fenced(err, "step "+strconv.Itoa(step))
		} else {
			c.must(err, "step "+strconv.Itoa(step))
		}
		if found {
			c.sameEntry(c.get("r"), e, "after step "+strconv.Itoa(step))
		}
	}
}

// sameEntry compares everything but the times.
func (c *ledgerCase) sameEntry(got, want idempotency.Entry, why string) {
	c.t.Helper()
	c.is(got.State, want.State, why+": state")
	c.is(got.Fingerprint, want.Fingerprint, why+": fingerprint")
	c.is(got.Seq, want.Seq, why+": seq")
	c.is(got.Fence, want.Fence, why+": fence")
	c.is(got.Attempt, want.Attempt, why+": attempt")
	c.is(got.Unsure, want.Unsure, why+": unsure")
	c.is(got.Ref, want.Ref, why+": ref")
	c.is(got.Cause, want.Cause, why+": cause")
	c.is(got.By, want.By, why+": by")
	c.is(bytes.Equal(got.Request, want.Request), true, why+": request")
}
