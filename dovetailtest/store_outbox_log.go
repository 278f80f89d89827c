package dovetailtest

import (
	"slices"
	"testing"
	"time"

	"github.com/tectari/dovetail/outbox"
)

// RunOperationLog checks that a store keeps the contract of outbox.OperationLog.
// newStore makes an empty store, ready for use, for each case.
func RunOperationLog(t *testing.T, newStore func(t *testing.T) outbox.Store) {
	t.Helper()
	for name, run := range map[string]func(t *testing.T, c *outboxCase, log outbox.OperationLog){
		"EveryOperationIsRecorded": testLogRecords,
		"OperationsAreFiltered":    testLogFilters,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			log, ok := s.(outbox.OperationLog)
			if !ok {
				t.Fatalf("%T is no outbox.OperationLog: nobody can read what was done to the queue", s)
			}
			run(t, &outboxCase{t: t, store: s, ctx: t.Context()}, log)
		})
	}
}

// did lists operations by action and who, as the filter orders them.
func (c *outboxCase) did(log outbox.OperationLog, f outbox.OperationFilter) []string {
	c.t.Helper()
	if f.Limit == 0 {
		f.Limit = 100
	}
	list, err := log.QueueOperations(c.ctx, f)
	c.must(err, "list operations")
	var out []string
	for _, r := range list {
		out = append(out, string(r.Action)+" by "+r.Who)
	}
	return out
}

func testLogRecords(t *testing.T, c *outboxCase, log outbox.OperationLog) {
	c.lease("one", false, "a")
	c.add("a", "", "1", "2", "3")
	for _, e := range c.read("a") {
		c.park("one", e, outbox.Dead, 0)
	}
	filter := outbox.Filter{Destination: "a", Code: "422", IDs: []string{"1", "2"}, Since: time.Unix(1, 0).UTC(), After: 0, Limit: 10}
	op := outbox.Operation{Action: outbox.ReplayAction, Destination: "a", Filter: filter, Who: "ana", Why: "their fix is out"}
	_, err := c.store.OperateQueue(c.ctx, op)
	c.must(err, "replay")
	_, err = c.store.OperateQueue(c.ctx, outbox.Operation{Action: outbox.DiscardAction, Destination: "a", Filter: outbox.Filter{Key: "none", Limit: 10}, Who: "ben", Why: "test data"})
	c.must(err, "discard nothing")
	_, err = c.store.OperateQueue(c.ctx, outbox.Operation{Action: "eat", Who: "cyd"})
	if err == nil {
		t.Fatal("an unknown action must be refused")
	}
	list, err := log.QueueOperations(c.ctx, outbox.OperationFilter{Limit: 100})
	c.must(err, "list operations")
	if len(list) != 2 {
		t.Fatalf("what touched nothing is recorded, what failed is not: want 2 operations, got %+v", list)
	}
	c.is(list[0].Messages, 0, "the newest first: it touched nothing")
	r := list[1]
	c.is(r.Messages, 2, "how many messages it touched")
	c.is(r.Who+r.Why+r.Destination, "anatheir fix is outa", "who, why and where")
	c.is(list[0].ID > r.ID, true, "IDs grow")
	c.is(time.Since(r.At) < time.Minute && time.Since(r.At) > -time.Minute, true, "when, by the store's clock")
	if !slices.Equal(r.Filter.IDs, filter.IDs) || r.Filter.Code != "422" || !r.Filter.Since.Equal(filter.Since) {
		t.Fatalf("the filter must be told as it was asked for, got %+v", r.Filter)
	}
}

func testLogFilters(t *testing.T, c *outboxCase, log outbox.OperationLog) {
	for _, who := range []string{"ana", "ben"} {
		for _, to := range []string{"a", "b"} {
			for _, action := range []outbox.Action{outbox.PauseAction, outbox.ResumeAction} {
				_, err := c.store.OperateQueue(c.ctx, outbox.Operation{Action: action, Destination: to, Who: who, Why: "month-end"})
				c.must(err, "operate")
			}
		}
	}
	all := c.did(log, outbox.OperationFilter{})
	c.is(len(all), 8, "all of them")
	c.is(all[0], "resume by ben", "newest first")
	c.is(len(c.did(log, outbox.OperationFilter{Destination: "a"})), 4, "filter by destination")
	c.is(len(c.did(log, outbox.OperationFilter{Who: "ana"})), 4, "filter by who")
	c.is(len(c.did(log, outbox.OperationFilter{Action: outbox.PauseAction, Destination: "b", Who: "ana"})), 1, "filter by all")
	c.is(len(c.did(log, outbox.OperationFilter{Since: time.Now().Add(time.Hour)})), 0, "filter by since")
	c.is(len(c.did(log, outbox.OperationFilter{Before: time.Now().Add(-time.Hour)})), 0, "filter by before")
	var paged []string
	below := int64(0)
	for range 4 {
		list, err := log.QueueOperations(c.ctx, outbox.OperationFilter{Below: below, Limit: 3})
		c.must(err, "list operations")
		for _, r := range list {
			paged = append(paged, string(r.Action)+" by "+r.Who)
			below = r.ID
		}
	}
	if !slices.Equal(paged, all) {
		t.Fatalf("pages must follow each other: got %v, want %v", paged, all)
	}
}
