package dovetailtest

import (
	"fmt"
	"sync"
	"time"

	"github.com/tectari/dovetail/idempotency"
)

// testLedgerMany: many claims at once say what each by itself would, in their order,
// and of several batches at once one wins each key.
func testLedgerMany(c *ledgerCase) {
	s, ok := c.store.(idempotency.BatchStore)
	if !ok {
		c.t.Skip("the store has no ClaimMany")
	}
	request := func(k idempotency.Key, fp idempotency.Fingerprint, seq int64) idempotency.ClaimRequest {
		return idempotency.ClaimRequest{Key: k, Kind: idempotency.Record, Fingerprint: fp, Seq: seq, Lease: time.Hour}
	}
	none, err := s.ClaimMany(c.ctx, nil)
	c.must(err, "claim nothing")
	c.is(len(none), 0, "claims of nothing")

	done := c.claim(request(ledgerKey("done"), ledgerA, 5))
	c.must(c.store.Complete(c.ctx, idempotency.Completion{Key: done.Key, Fence: done.Fence, Fingerprint: ledgerA, Ref: idempotency.Ref{ID: "7"}}), "complete")
	sent := c.won("sent", 0)
	c.mark(sent)
	c.won("busy", time.Hour)
	odd := idempotency.Key{Scope: "sco'\"pe", ID: "\u00e9\\<&>\u2028", Op: "o"}
	long := idempotency.Key{Scope: noise(1024), ID: noise(1000)}
	got, err := s.ClaimMany(c.ctx, []idempotency.ClaimRequest{
		request(ledgerKey("new"), ledgerA, 0), request(ledgerKey("done"), ledgerA, 5), request(ledgerKey("sent"), ledgerA, 0),
		request(odd, ledgerA, 0), request(ledgerKey("busy"), ledgerA, 0), request(long, ledgerA, 0), request(ledgerKey("BUSY"), ledgerA, 0),
	})
	c.must(err, "claim many")
	for i, want := range []struct {
		key     idempotency.Key
		verdict idempotency.Verdict
		state   idempotency.State
	}{
		{ledgerKey("new"), idempotency.Won, idempotency.Claimed}, {ledgerKey("done"), idempotency.Finished, idempotency.Done},
		{ledgerKey("sent"), idempotency.Won, idempotency.Doubt}, {odd, idempotency.Won, idempotency.Claimed},
		{ledgerKey("busy"), idempotency.Busy, idempotency.Claimed}, {long, idempotency.Won, idempotency.Claimed},
		{ledgerKey("BUSY"), idempotency.Won, idempotency.Claimed},
	} {
		c.is(got[i].Key, want.key, fmt.Sprintf("key %d", i))
		c.is(got[i].Verdict, want.verdict, "verdict on "+want.key.ID)
		c.is(got[i].State, want.state, "state of "+want.key.ID)
		c.is(got[i].Now.IsZero(), false, "the store's time")
	}
	c.is(got[1].Ref.ID, "7", "what is done comes with its record")
	c.is(string(got[2].Request), "req", "what is in doubt comes with what was sent")
	touched, err := s.ClaimMany(c.ctx, []idempotency.ClaimRequest{request(ledgerKey("done"), ledgerA, 9)})
	c.must(err, "claim a newer version")
	c.is(touched[0].Verdict, idempotency.Finished, "an unchanged newer version")
	c.is(c.get("done").Seq, int64(9), "an unchanged newer version counts")

	const keys, callers = 50, 8
	won := make([][]idempotency.Claim, callers)
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			var list []idempotency.ClaimRequest
			for n := range keys { // in another order each
				list = append(list, request(ledgerKey(fmt.Sprint("race", (n*(2*caller+1)+caller)%keys)), ledgerA, 0))
			}
			claims, err := s.ClaimMany(c.ctx, list)
			if err != nil {
				c.t.Errorf("claim many: %v", err)
			}
			won[caller] = claims
		})
	}
	wg.Wait()
	winners := map[string]int{}
	for _, claims := range won {
		for _, cl := range claims {
			if cl.Verdict == idempotency.Won {
				winners[cl.Key.ID]++
			}
		}
	}
	c.is(len(winners), keys, "keys that were won")
	for id, n := range winners {
		c.is(n, 1, "winners of "+id)
	}
}
