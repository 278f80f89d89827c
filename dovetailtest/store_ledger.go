package dovetailtest

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/tectari/dovetail/idempotency"
)

// RunLedgerStore checks that a store keeps the contract of idempotency.Store, and
// those of idempotency.Lister, TxStore and BatchStore where it has their methods. newStore
// makes an empty store, ready for use, for each case.
func RunLedgerStore(t *testing.T, newStore func(t *testing.T) idempotency.Store) {
	t.Helper()
	cases := []struct {
		name string
		run  func(c *ledgerCase)
	}{
		{"OneOfManyClaimsWins", testLedgerRace},
		{"LeaseKeepsOthersOutUntilItEnds", testLedgerLease},
		{"TakeoverOfSendingIsDoubt", testLedgerTakeover},
		{"FencedWorkerChangesNothing", testLedgerFence},
		{"LateCompletionIsKept", testLedgerLate},
		{"DoneAnswers", testLedgerDone},
		{"UnchangedNewerVersionCounts", testLedgerTouch},
		{"KindsAreNotMixed", testLedgerKinds},
		{"KeysAreExact", testLedgerKeys},
		{"ReleaseKeepsAnEarlierDoubt", testLedgerRelease},
		{"TimesOfSending", testLedgerTimes},
		{"SweepTakesOldOperationsOnly", testLedgerSweep},
		{"OpenListsDoubts", testLedgerOpen},
		{"CompletionInATransaction", testLedgerTx},
		{"ManyClaimsAtOnce", testLedgerMany},
		{"SameAsTheModel", testLedgerModel},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(&ledgerCase{t: t, store: newStore(t), ctx: t.Context()})
		})
	}
}

// A ledgerCase is a store under test.
type ledgerCase struct {
	t     *testing.T
	ctx   context.Context //nolint:containedctx // the test's
	store idempotency.Store
}

// Fingerprints of two payloads.
var ledgerA, ledgerB = idempotency.Fingerprint{1}, idempotency.Fingerprint{2}

func ledgerKey(id string) idempotency.Key { return idempotency.Key{Scope: "scope", ID: id} }

func (c *ledgerCase) must(err error, why string) {
	c.t.Helper()
	if err != nil {
		c.t.Fatalf("%s: %v", why, err)
	}
}

func (c *ledgerCase) is(got, want any, why string) {
	c.t.Helper()
	if got != want {
		c.t.Fatalf("%s: got %v, want %v", why, got, want)
	}
}

func (c *ledgerCase) fenced(err error, why string) {
	c.t.Helper()
	if !errors.Is(err, idempotency.ErrFenced) {
		c.t.Fatalf("%s: got %v, want ErrFenced", why, err)
	}
}

func (c *ledgerCase) claim(r idempotency.ClaimRequest) idempotency.Claim {
	c.t.Helper()
	cl, err := c.store.Claim(c.ctx, r)
	c.must(err, "claim")
	c.is(cl.Key, r.Key, "the claim's key")
	if cl.Now.IsZero() {
		c.t.Fatal("a claim tells the store's time")
	}
	return cl
}

// won claims a record with payload A for an hour, or for no time at all.
func (c *ledgerCase) won(id string, lease time.Duration) idempotency.Claim {
	c.t.Helper()
	cl := c.claim(idempotency.ClaimRequest{Key: ledgerKey(id), Kind: idempotency.Record, Fingerprint: ledgerA, Lease: lease})
	c.is(cl.Verdict, idempotency.Won, "claim of "+id)
	return cl
}

func (c *ledgerCase) mark(cl idempotency.Claim) {
	c.t.Helper()
	c.must(c.store.MarkSending(c.ctx, idempotency.Mark{Key: cl.Key, Fence: cl.Fence, Fingerprint: ledgerA, Request: []byte("req")}), "mark")
}

func (c *ledgerCase) get(id string) idempotency.Entry {
	c.t.Helper()
	e, found, err := c.store.Get(c.ctx, ledgerKey(id))
	c.must(err, "get")
	c.is(found, true, "get finds "+id)
	return e
}

func testLedgerRace(c *ledgerCase) {
	for _, id := range []string{"new", "expired"} {
		if id == "expired" {
			c.won(id, 0)
		}
		var wg sync.WaitGroup
		verdicts := make([]idempotency.Verdict, 8)
		for i := range verdicts {
			wg.Go(func() {
				cl, err := c.store.Claim(c.ctx, idempotency.ClaimRequest{Key: ledgerKey(id), Kind: idempotency.Record, Fingerprint: ledgerA, Lease: time.Hour})
				if err != nil {
					c.t.Errorf("claim: %v", err)
				}
				verdicts[i] = cl.Verdict
			})
		}
		wg.Wait()
		wins := 0
		for _, v := range verdicts {
			if v == idempotency.Won {
				wins++
			} else {
				c.is(v, idempotency.Busy, "who does not win waits")
			}
		}
		c.is(wins, 1, "winners of an "+id+" key")
	}
}

func testLedgerLease(c *ledgerCase) {
	const lease = time.Second // long enough for a slow database to answer within it
	first := c.won("r", lease)
	c.is(first.State, idempotency.Claimed, "state after the claim")
	c.is(first.Fence, int64(1), "fence of the first claim")
	r := idempotency.ClaimRequest{Key: ledgerKey("r"), Kind: idempotency.Record, Fingerprint: ledgerB, Lease: time.Hour}
	if busy := c.claim(r); busy.Verdict == idempotency.Busy {
		if left := busy.LeaseUntil.Sub(busy.Now); left <= 0 || left > lease {
			c.t.Fatalf("the rest of the lease by the store's clock: %v", left)
		}
	}
	c.must(c.store.Renew(c.ctx, first.Key, first.Fence, time.Hour), "renew")
	time.Sleep(lease + 50*time.Millisecond)
	c.is(c.claim(r).Verdict, idempotency.Busy, "a renewed lease holds")
	c.must(c.store.Renew(c.ctx, first.Key, first.Fence, 0), "renew for no time")
	second := c.claim(r)
	c.is(second.Verdict, idempotency.Won, "a lease that is over can be taken over")
	c.is(second.State, idempotency.Claimed, "nothing was sent")
	c.is(second.Fence, int64(2), "each claim has its own fence")
	c.is(second.Attempt, 2, "attempts are counted")
}

func testLedgerTakeover(c *ledgerCase) {
	first := c.won("r", time.Hour)
	c.mark(first)
	e := c.get("r")
	c.is(e.State, idempotency.Sending, "marked")
	c.is(string(e.Request), "req", "the request is kept")
	const lease = 20 * time.Millisecond
	c.must(c.store.Renew(c.ctx, first.Key, first.Fence, lease), "renew")
	until := c.get("r").LeaseUntil
	time.Sleep(2 * lease)
	second := c.won("r", time.Hour)
	c.is(second.State, idempotency.Doubt, "what may have been sent is in doubt")
	c.is(second.LastSent.UnixMilli(), until.UnixMilli(), "the lost worker may have sent until its lease was over")
	c.is(string(second.Request), "req", "the request in doubt comes with the claim")
	c.is(second.Fingerprint, ledgerA, "and its fingerprint")
}

func testLedgerFence(c *ledgerCase) {
	first := c.won("r", 0)
	second := c.won("r", time.Hour)
	c.fenced(c.store.MarkSending(c.ctx, idempotency.Mark{Key: first.Key, Fence: first.Fence}), "mark of a zombie")
	c.fenced(c.store.Complete(c.ctx, idempotency.Completion{Key: first.Key, Fence: first.Fence, Ref: idempotency.Ref{ID: "zombie"}}), "completion of a zombie")
	c.fenced(c.store.Release(c.ctx, idempotency.Release{Key: first.Key, Fence: first.Fence, NotApplied: true}), "release of a zombie")
	c.fenced(c.store.Renew(c.ctx, first.Key, first.Fence, time.Hour), "renewal of a zombie")
	e := c.get("r")
	c.is(e.Fence, second.Fence, "the successor's fence stands")
	c.is(e.State, idempotency.Claimed, "the successor's state stands")
	c.is(e.Ref.ID, "", "the zombie's result is not kept")
	done := idempotency.Completion{Key: second.Key, Fence: second.Fence, Fingerprint: ledgerA, Ref: idempotency.Ref{ID: "1", Version: "v"}}
	c.must(c.store.Complete(c.ctx, done), "complete")
	c.must(c.store.Complete(c.ctx, done), "complete again, as after a lost commit reply")
	c.fenced(c.store.MarkSending(c.ctx, idempotency.Mark{Key: second.Key, Fence: second.Fence}), "mark after done")
	c.fenced(c.store.Release(c.ctx, idempotency.Release{Key: second.Key, Fence: second.Fence}), "release after done")
	c.fenced(c.store.Renew(c.ctx, second.Key, second.Fence, time.Hour), "renewal after done")
	c.is(c.get("r").Ref, idempotency.Ref{ID: "1", Version: "v"}, "the result is kept")
	c.fenced(c.store.Complete(c.ctx, idempotency.Completion{Key: ledgerKey("none"), Fence: 1}), "completion of what was never claimed")
}

func testLedgerLate(c *ledgerCase) {
	first := c.won("r", 0)
	c.mark(first)
	c.must(c.store.Complete(c.ctx, idempotency.Completion{Key: first.Key, Fence: first.Fence, Fingerprint: ledgerA, Ref: idempotency.Ref{ID: "1"}}), "a late answer when nobody took over")
	e := c.get("r")
	c.is(e.State, idempotency.Done, "state")
	c.is(len(e.Request), 0, "the request is not kept once the outcome is known")
}

func testLedgerDone(c *ledgerCase) {
	finish := func(id string, kind idempotency.Kind, seq int64) {
		cl := c.claim(idempotency.ClaimRequest{Key: ledgerKey(id), Kind: kind, Fingerprint: ledgerA, Seq: seq, Lease: time.Hour})
		c.must(c.store.MarkSending(c.ctx, idempotency.Mark{Key: cl.Key, Fence: cl.Fence, Fingerprint: ledgerA, Seq: seq}), "mark")
		c.must(c.store.Complete(c.ctx, idempotency.Completion{Key: cl.Key, Fence: cl.Fence, Fingerprint: ledgerA, Ref: idempotency.Ref{ID: id}, Result: []byte(id)}), "complete")
	}
	claim := func(id string, kind idempotency.Kind, fp idempotency.Fingerprint, seq int64) idempotency.Claim {
		return c.claim(idempotency.ClaimRequest{Key: ledgerKey(id), Kind: kind, Fingerprint: fp, Seq: seq, Lease: time.Hour})
	}
	finish("rec", idempotency.Record, 5)
	finish("once", idempotency.Once, 0)
	finish("op", idempotency.Operation, 0)
	c.is(claim("rec", idempotency.Record, ledgerA, 5).Verdict, idempotency.Finished, "same payload")
	c.is(claim("rec", idempotency.Record, ledgerB, 4).Verdict, idempotency.Outdated, "older version, other payload")
	once := claim("once", idempotency.Once, ledgerB, 0)
	c.is(once.Verdict, idempotency.Finished, "once is once, whatever the payload")
	c.is(once.Ref.ID, "once", "the record comes with the answer")
	op := claim("op", idempotency.Operation, ledgerA, 0)
	c.is(op.Verdict, idempotency.Finished, "operation, same payload")
	c.is(string(op.Result), "op", "the result comes with the answer")
	c.is(claim("op", idempotency.Operation, ledgerB, 0).Verdict, idempotency.Reused, "operation, other payload")
	changed := claim("rec", idempotency.Record, ledgerB, 6)
	c.is(changed.Verdict, idempotency.Won, "newer version, other payload")
	c.is(changed.State, idempotency.Claimed, "a change begins anew")
	c.is(changed.Ref.ID, "rec", "and knows its record")
	c.is(changed.Attempt, 1, "and counts its attempts anew")
}

func testLedgerTouch(c *ledgerCase) {
	claim := func(fp idempotency.Fingerprint, seq int64) idempotency.Verdict {
		cl := c.claim(idempotency.ClaimRequest{Key: ledgerKey("r"), Kind: idempotency.Record, Fingerprint: fp, Seq: seq, Lease: time.Hour})
		if cl.Verdict == idempotency.Won {
			c.must(c.store.MarkSending(c.ctx, idempotency.Mark{Key: cl.Key, Fence: cl.Fence, Fingerprint: fp, Seq: seq}), "mark")
			c.must(c.store.Complete(c.ctx, idempotency.Completion{Key: cl.Key, Fence: cl.Fence, Fingerprint: fp, Ref: idempotency.Ref{ID: "1"}}), "complete")
		}
		return cl.Verdict
	}
	c.is(claim(ledgerB, 11), idempotency.Won, "version 11")
	c.is(claim(ledgerB, 13), idempotency.Finished, "version 13 says the same")
	c.is(claim(ledgerA, 12), idempotency.Outdated, "version 12 arrives late: 13 was seen, though nothing was sent for it")
	c.is(c.get("r").Seq, int64(13), "version in the ledger")
}

func testLedgerKinds(c *ledgerCase) {
	c.won("r", 0)
	for _, kind := range []idempotency.Kind{idempotency.Once, idempotency.Operation} {
		cl := c.claim(idempotency.ClaimRequest{Key: ledgerKey("r"), Kind: kind, Fingerprint: ledgerA, Lease: time.Hour})
		c.is(cl.Verdict, idempotency.Reused, "the key of a record used for "+kind.String())
	}
}

// noise is a text of n letters that nothing compresses, always the same.
func noise(n int) string {
	r := rand.New(rand.NewPCG(1, uint64(n))) // #nosec G404 G115 -- a test's text
	b := make([]byte, n)
	for i := range b {
		b[i] = '!' + byte(r.IntN(94)) // #nosec G115 -- printable
	}
	return string(b)
}

func testLedgerKeys(c *ledgerCase) {
	for _, k := range []idempotency.Key{
		{Scope: "s", ID: "abc"}, {Scope: "s", ID: "ABC"}, {Scope: "s", ID: "abc "}, {Scope: "s", ID: "abc", Op: "x"}, {Scope: "s", ID: "abcx"},
		{Scope: "S", ID: "abc"}, {Scope: "sa", ID: "bc"}, {Scope: "s", ID: "e\u0301"}, {Scope: "s", ID: "\u00e9"}, {Scope: "s", ID: "0"}, {Scope: "s", ID: "00"},
		// The longest there are, of what no index can compress, and of every length of a letter.
		{Scope: noise(1024), ID: noise(1000)}, {Scope: noise(1024), ID: noise(1000), Op: "x"}, {Scope: "s", ID: noise(1000), Op: noise(1024)},
		{Scope: "s", ID: "\"quoted\", 'too', \\ and <&> {}[]"}, {Scope: "s", ID: "\u2028\U0001F4A9\u00df"}, {Scope: "s", ID: "?1 $1 %s"},
	} {
		cl := c.claim(idempotency.ClaimRequest{Key: k, Kind: idempotency.Record, Fingerprint: ledgerA, Lease: time.Hour})
		c.is(cl.Verdict, idempotency.Won, "another key: "+k.String())
		c.is(cl.Fence, int64(1), "another key: "+k.String())
	}
	_, found, err := c.store.Get(c.ctx, ledgerKey("never"))
	c.must(err, "get what is not there")
	c.is(found, false, "what is not there")
}
