package dovetailtest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
)

// RunOutboxStore checks that a store keeps the contract of outbox.Store. newStore
// makes an empty store, ready for use, for each case.
func RunOutboxStore(t *testing.T, newStore func(t *testing.T) outbox.Store) {
	t.Helper()
	cases := []struct {
		name string
		run  func(t *testing.T, s *outboxCase)
	}{
		{"CommittedIsReadRolledBackIsNot", testOutboxCommit},
		{"ForeignTxIsRefused", testOutboxForeign},
		{"PagesFollowEachOther", testOutboxPages},
		{"DedupKeyIsPerDestination", testOutboxDedup},
		{"ManyDedupKeysAtOnce", testOutboxDedupMany},
		{"ScheduledIsDueLater", testOutboxScheduled},
		{"LeasesAreSharedAndEnd", testOutboxLeases},
		{"ParkingIsFenced", testOutboxFence},
		{"LaneWaitsForItsHead", testOutboxLane},
		{"TakeoverMendsLanes", testOutboxMend},
		{"LateAcknowledgementMendsLanes", testOutboxLate},
		{"WhatWasDiscardedStopsNothing", testOutboxStopped},
		{"LettersAreReplayedInOrder", testOutboxReplay},
		{"DropTakesOlderOnly", testOutboxDrop},
		{"PauseAndStatus", testOutboxStatus},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, &outboxCase{t: t, store: newStore(t), ctx: t.Context()})
		})
	}
}

// An outboxCase is a store under test.
type outboxCase struct {
	t     *testing.T
	ctx   context.Context //nolint:containedctx // the test's
	store outbox.Store
}

func (c *outboxCase) must(err error, why string) {
	c.t.Helper()
	if err != nil {
		c.t.Fatalf("%s: %v", why, err)
	}
}

func (c *outboxCase) is(got, want any, why string) {
	c.t.Helper()
	if got != want {
		c.t.Fatalf("%s: got %v, want %v", why, got, want)
	}
}

// add stores messages of a lane, with their IDs as payload.
func (c *outboxCase) add(to, lane string, ids ...string) {
	c.t.Helper()
	entries := make([]outbox.Entry, 0, len(ids))
	for _, id := range ids {
		entries = append(entries, outbox.Entry{
			Message: outbox.Message{ID: id, To: to, Key: lane, Topic: "t", Payload: []byte(id), Headers: map[string]string{"h": id}},
			Lane:    lane, Shard: 7,
		})
	}
	c.must(c.insert(entries...), "insert")
}

func (c *outboxCase) insert(entries ...outbox.Entry) error {
	return c.store.Transact(c.ctx, func(ctx context.Context, tx outbox.Tx) error {
		_, err := c.store.InsertMessages(ctx, tx, entries)
		return err
	})
}

func (c *outboxCase) read(to string) []outbox.Entry {
	c.t.Helper()
	p, err := c.store.ReadMessages(c.ctx, outbox.ReadQuery{Wants: []outbox.Want{{Destination: to, Shards: ^uint64(0)}}, Limit: 100, Bytes: 1 << 20})
	c.must(err, "read")
	return p.Entries
}

func (c *outboxCase) due(to string) []outbox.Entry {
	c.t.Helper()
	list, err := c.store.DueMessages(c.ctx, []outbox.Want{{Destination: to, Shards: ^uint64(0), Limit: 100}})
	c.must(err, "due")
	return list
}

func (c *outboxCase) lease(relay string, renew bool, to ...string) outbox.Lease {
	c.t.Helper()
	l, err := c.store.LeaseShards(c.ctx, outbox.LeaseRequest{Relay: relay, Renew: renew, TTL: time.Minute, Destinations: to})
	c.must(err, "lease")
	return l
}

func (c *outboxCase) park(relay string, e outbox.Entry, state outbox.State, wait time.Duration) outbox.Settled {
	c.t.Helper()
	out, err := c.store.SettleMessages(c.ctx, outbox.Settlement{Relay: relay, Park: []outbox.Parking{{
		Seq: e.Seq, Destination: e.To, Shard: e.Shard, State: state, Wait: wait, Attempts: 3, Class: dovetail.Invalid, Code: "422", Field: "vat", Error: "bad",
	}}})
	c.must(err, "park")
	return out
}

func ids(entries []outbox.Entry) string {
	var out []byte
	for _, e := range entries {
		out = append(out, e.ID...)
	}
	return string(out)
}

var errBack = errors.New("roll back")

func testOutboxCommit(t *testing.T, c *outboxCase) {
	err := c.store.Transact(c.ctx, func(ctx context.Context, tx outbox.Tx) error {
		_, err := c.store.InsertMessages(ctx, tx, []outbox.Entry{{Message: outbox.Message{ID: "x", To: "a", Payload: []byte("x")}}})
		c.must(err, "insert")
		return errBack
	})
	if !errors.Is(err, errBack) {
		t.Fatalf("Transact must return fn's error, got %v", err)
	}
	c.add("a", "k", "1", "2")
	got := c.read("a")
	c.is(ids(got), "12", "what was rolled back must not be read, and the rest in order")
	e := got[0]
	c.is(e.Headers["h"]+string(e.Payload)+e.Topic+e.Key+e.Lane, "11tkk", "a message must be read as it was stored")
	c.is(e.Enqueued.IsZero(), false, "the store stamps Enqueued")
	_, err = c.store.SettleMessages(c.ctx, outbox.Settlement{Done: []int64{e.Seq, e.Seq + 1000}})
	c.must(err, "done needs no lease, and may name what is gone")
	c.is(ids(c.read("a")), "2", "what is done must be gone")
}

type foreignTx struct{}

func (foreignTx) Commit() error   { return nil }
func (foreignTx) Rollback() error { return nil }

func testOutboxForeign(t *testing.T, c *outboxCase) {
	_, err := c.store.InsertMessages(c.ctx, foreignTx{}, []outbox.Entry{{Message: outbox.Message{ID: "x", To: "a"}}})
	if !errors.Is(err, outbox.ErrForeignTx) {
		t.Fatalf("a transaction of another kind must be refused with ErrForeignTx, got %v", err)
	}
}

func testOutboxPages(t *testing.T, c *outboxCase) {
	for i := range 5 {
		c.add("a", "", string(rune('a'+i)))
		c.add("b", "", "x")
	}
	var got strings.Builder
	q := outbox.ReadQuery{Wants: []outbox.Want{{Destination: "a", Shards: 1 << 7}}, Limit: 2, Bytes: 1 << 20}
	for range 4 {
		p, err := c.store.ReadMessages(c.ctx, q)
		c.must(err, "read")
		if len(p.Entries) == 2 && !p.More {
			t.Fatal("a full page must say that there may be more")
		}
		got.WriteString(ids(p.Entries))
		q.Position = p.Position
	}
	c.is(got.String(), "abcde", "pages must follow each other without gap or repetition")
	q = outbox.ReadQuery{Wants: []outbox.Want{{Destination: "a", Shards: 1 << 8}}, Limit: 2, Bytes: 1}
	p, err := c.store.ReadMessages(c.ctx, q)
	c.must(err, "read")
	c.is(len(p.Entries), 0, "entries of shards that are not wanted must not be returned")
	if p.Position.After == 0 {
		t.Fatal("the position must pass what was not wanted")
	}
}

func testOutboxDedup(t *testing.T, c *outboxCase) {
	for i, to := range []string{"a", "a", "b"} {
		e := outbox.Entry{Message: outbox.Message{ID: string(rune('0' + i)), To: to, DedupKey: "d", Payload: []byte("p")}}
		var duplicates []int
		c.must(c.store.Transact(c.ctx, func(ctx context.Context, tx outbox.Tx) (err error) {
			duplicates, err = c.store.InsertMessages(ctx, tx, []outbox.Entry{e})
			return err
		}), "insert")
		c.is(len(duplicates) == 1, i == 1, "only the second for one destination is a duplicate")
	}
	c.is(ids(c.read("a")), "0", "the duplicate must not be stored")
	c.is(ids(c.read("b")), "2", "another destination has its own keys")
}

func testOutboxScheduled(_ *testing.T, c *outboxCase) {
	due := time.Now().Add(2 * time.Second) // a slow database has looked by then
	later := outbox.Entry{Message: outbox.Message{ID: "l", To: "a", Payload: []byte("p"), Due: due}, Lane: "k"}
	past := outbox.Entry{Message: outbox.Message{ID: "p", To: "a", Payload: []byte("p"), Due: time.Now().Add(-time.Hour)}, Lane: "k"}
	c.must(c.insert(later, past), "insert")
	got := c.read("a")
	c.is(ids(got), "p", "what is due already waits with the others, what is not waits apart")
	c.is(got[0].Waits, false, "a scheduled one holds nobody up")
	c.is(len(c.due("a")), 0, "not due yet")
	time.Sleep(time.Until(due) + 50*time.Millisecond)
	c.is(ids(c.due("a")), "l", "due")
}

func testOutboxLeases(t *testing.T, c *outboxCase) {
	one := c.lease("one", false, "a")
	c.is(one.Owned["a"], ^uint64(0), "a relay alone owns all shards")
	c.is(one.Fresh["a"], ^uint64(0), "and they are new to it")
	two := c.lease("two", false, "a")
	c.is(two.Owned["a"], uint64(0), "nothing is taken from a live relay")
	one = c.lease("one", true, "a")
	c.is(one.Excess["a"], 32, "it is asked for its excess")
	_, err := c.store.LeaseShards(c.ctx, outbox.LeaseRequest{
		Relay: "one", Renew: true, TTL: time.Minute, Destinations: []string{"a"}, Release: map[string]uint64{"a": 0xffffffff},
	})
	c.must(err, "release")
	c.is(c.lease("two", true, "a").Owned["a"], uint64(0xffffffff), "what was released goes to the other")
	_, err = c.store.LeaseShards(c.ctx, outbox.LeaseRequest{Relay: "one", Renew: true})
	c.must(err, "end")
	c.is(c.lease("two", true, "a").Owned["a"], ^uint64(0), "a relay that ends frees all its shards")
	_, err = c.store.LeaseShards(c.ctx, outbox.LeaseRequest{Relay: "one", Renew: true, TTL: time.Minute})
	if !errors.Is(err, outbox.ErrLeaseLost) {
		t.Fatalf("renewing a relay that is not registered must fail with ErrLeaseLost, got %v", err)
	}
	_, err = c.store.LeaseShards(c.ctx, outbox.LeaseRequest{Relay: "two", Renew: true, TTL: time.Millisecond, Destinations: []string{"a"}})
	c.must(err, "short lease")
	time.Sleep(20 * time.Millisecond)
	c.is(c.lease("three", false, "a").Owned["a"], ^uint64(0), "a lease that ran out is taken over")
}

func testOutboxFence(t *testing.T, c *outboxCase) {
	c.add("a", "k", "1")
	e := c.read("a")[0]
	c.lease("one", false, "a")
	if out := c.park("zombie", e, outbox.Dead, 0); !slices.Equal(out.Refused, []int64{e.Seq}) {
		t.Fatalf("parking by a relay that does not own the shard must be refused, got %v", out.Refused)
	}
	c.is(ids(c.read("a")), "1", "what was refused must have changed nothing")
	c.is(len(c.park("one", e, outbox.Dead, 0).Refused), 0, "the owner may park")
	c.is(len(c.read("a")), 0, "parked is not waiting")
	_, err := c.store.SettleMessages(c.ctx, outbox.Settlement{Done: []int64{e.Seq}})
	c.must(err, "done")
	c.park("one", e, outbox.Retrying, 0)
	c.is(len(c.due("a")), 0, "parking what is gone must not bring it back")
}

func testOutboxLane(_ *testing.T, c *outboxCase) {
	c.lease("one", false, "a")
	c.add("a", "k", "1", "2", "3")
	c.add("a", "l", "4")
	list := c.read("a")
	c.park("one", list[0], outbox.Retrying, 0)
	list = c.read("a")
	c.is(ids(list), "234", "the others still wait")
	c.is(list[0].Waits && list[1].Waits && !list[2].Waits, true, "an entry behind a retrying one of its lane must say so, others not")
	c.park("one", list[0], outbox.Behind, 0)
	got, err := c.store.LaneMessages(c.ctx, "a", "k", 10)
	c.must(err, "lane")
	c.is(len(got), 0, "what is behind a retrying one must not be read as its turn")
	due := c.due("a")
	c.is(ids(due), "1", "only the head is due")
	c.is(due[0].Attempts, 3, "attempts are kept")
	c.is(due[0].Waits, false, "the head waits for nobody")
	c.park("one", due[0], outbox.Dead, 0)
	got, err = c.store.LaneMessages(c.ctx, "a", "k", 10)
	c.must(err, "lane")
	c.is(ids(got), "2", "behind a settled head comes the next")
	c.is(got[0].Stops && !got[0].Waits, true, "a dead head stops what follows")
}

func testOutboxMend(_ *testing.T, c *outboxCase) {
	c.lease("one", false, "a")
	c.add("a", "k", "1", "2")
	for _, e := range c.read("a") {
		c.park("one", e, outbox.Behind, 0)
	}
	c.is(len(c.due("a")), 0, "Behind is not due")
	_, err := c.store.LeaseShards(c.ctx, outbox.LeaseRequest{Relay: "one", Renew: true})
	c.must(err, "end")
	c.lease("two", false, "a")
	c.is(ids(c.due("a")), "1", "a new owner finds the first of an orphaned lane due")
}

func testOutboxLate(_ *testing.T, c *outboxCase) {
	c.lease("one", false, "a")
	done := func(relay string, e outbox.Entry) {
		_, err := c.store.SettleMessages(c.ctx, outbox.Settlement{Relay: relay, Done: []int64{e.Seq}})
		c.must(err, "done")
	}
	c.add("a", "k", "1", "2", "3")
	list := c.read("a")
	c.park("one", list[0], outbox.Deferred, time.Hour)
	c.park("one", list[1], outbox.Behind, 0)
	c.park("one", list[2], outbox.Behind, 0)
	done("zombie", list[0])
	c.is(ids(c.due("a")), "2", "where one that does not own the shard acknowledges the head of a lane, the next is due")
	done("one", list[1])
	c.is(len(c.due("a")), 0, "the owner knows what it acknowledges")
	rest, err := c.store.LaneMessages(c.ctx, "a", "k", 10)
	c.must(err, "lane")
	c.is(ids(rest), "3", "and reads what comes behind it")

	c.add("a", "l", "4", "5")
	list = c.read("a")
	done("zombie", list[0])
	_, err = c.store.SettleMessages(c.ctx, outbox.Settlement{Relay: "one", Park: []outbox.Parking{
		{Seq: list[0].Seq, Destination: "a", Shard: list[0].Shard, State: outbox.Retrying, Wait: time.Hour},
		{Seq: list[1].Seq, Destination: "a", Shard: list[1].Shard, State: outbox.Behind},
	}})
	c.must(err, "park")
	c.is(strings.Contains(ids(c.due("a")), "5"), true, "behind a head that is gone the next is due")
}

func testOutboxStopped(_ *testing.T, c *outboxCase) {
	c.lease("one", false, "a")
	c.add("a", "k", "1", "2", "3")
	list := c.read("a")
	c.park("one", list[0], outbox.Dead, 0)
	behind := func(e outbox.Entry) {
		_, err := c.store.SettleMessages(c.ctx, outbox.Settlement{Relay: "one", Park: []outbox.Parking{
			{Seq: e.Seq, Destination: "a", Shard: e.Shard, State: outbox.Behind, Stops: true},
		}})
		c.must(err, "park")
	}
	behind(list[1])
	c.is(len(c.due("a")), 0, "behind a dead letter nothing is due")
	discard := outbox.Operation{Action: outbox.DiscardAction, Filter: outbox.Filter{Destination: "a", Limit: 100}, Who: "ana", Why: "a test"}
	_, err := c.store.OperateQueue(c.ctx, discard)
	c.must(err, "discard")
	c.is(ids(c.due("a")), "2", "what waits behind what was discarded is due")
	behind(list[2])
	c.is(ids(c.due("a")), "2", "what waits behind that waits")

	c.add("a", "l", "4", "5")
	list = c.read("a")
	c.park("one", list[0], outbox.Dead, 0)
	_, err = c.store.OperateQueue(c.ctx, discard)
	c.must(err, "discard")
	behind(list[1])
	c.is(strings.Contains(ids(c.due("a")), "5"), true, "what is parked behind a letter that was discarded meanwhile is due")
}

func testOutboxReplay(t *testing.T, c *outboxCase) {
	c.lease("one", false, "a")
	c.add("a", "k", "1", "2", "3")
	list := c.read("a")
	for i, e := range list {
		c.park("one", e, []outbox.State{outbox.Dead, outbox.Dead, outbox.Behind}[i], 0)
	}
	letters, err := c.store.DeadLetters(c.ctx, outbox.Filter{Destination: "a", Class: "invalid", Code: "422"})
	c.must(err, "letters")
	if len(letters) != 2 || letters[0].ID != "1" || letters[0].Error != "bad" || letters[0].Field != "vat" || letters[0].Attempts != 3 {
		t.Fatalf("dead letters must say what failed, got %+v", letters)
	}
	for name, f := range map[string]outbox.Filter{"code": {Code: "500"}, "key": {Key: "z"}, "id": {IDs: []string{"z"}}, "since": {Since: time.Now().Add(time.Hour)}, "doubt": {InDoubt: true}} {
		letters, err := c.store.DeadLetters(c.ctx, f)
		c.must(err, "letters")
		c.is(len(letters), 0, "filter by "+name)
	}
	op := outbox.Operation{Action: outbox.ReplayAction, Filter: outbox.Filter{Destination: "a", Limit: 100}, Who: "ana"}
	out, err := c.store.OperateQueue(c.ctx, op)
	c.must(err, "replay")
	c.is(out.Messages, 2, "both were replayed")
	c.is(len(out.Settled), 1, "no letter of the cause is left")
	due := c.due("a")
	c.is(ids(due), "1", "the first of the key comes first")
	c.is(due[0].Attempts == 0 && due[0].Replays == 1, true, "its attempts are counted anew")
	rest, err := c.store.LaneMessages(c.ctx, "a", "k", 10)
	c.must(err, "lane")
	c.is(len(rest), 0, "the others wait for it")

	c.park("one", due[0], outbox.Dead, 0)
	op = outbox.Operation{Action: outbox.DiscardAction, Filter: outbox.Filter{IDs: []string{"1"}}, Who: "ana", Why: "test data"}
	out, err = c.store.OperateQueue(c.ctx, op)
	c.must(err, "discard")
	c.is(out.Messages, 1, "one was discarded")
	c.is(ids(c.due("a")), "2", "the next of the lane is due")
}

func testOutboxDrop(_ *testing.T, c *outboxCase) {
	c.lease("one", false, "a")
	c.add("a", "k", "1", "2", "3")
	list := c.read("a")
	c.park("one", list[0], outbox.Retrying, 0)
	c.park("one", list[1], outbox.Dead, 0)
	d := outbox.Drop{Destination: "a", Shard: 7, Lane: "k", Before: list[2].Seq}
	out, err := c.store.SettleMessages(c.ctx, outbox.Settlement{Relay: "zombie", Drop: []outbox.Drop{d}})
	c.must(err, "drop")
	c.is(out.Dropped, 0, "only the owner of the shard may drop")
	out, err = c.store.SettleMessages(c.ctx, outbox.Settlement{Relay: "one", Drop: []outbox.Drop{d}})
	c.must(err, "drop")
	c.is(out.Dropped, 1, "the retrying one is replaced, the dead letter stays")
	d.Dead = true
	out, err = c.store.SettleMessages(c.ctx, outbox.Settlement{Relay: "one", Drop: []outbox.Drop{d}})
	c.must(err, "drop")
	c.is(out.Dropped, 1, "the dead letter is replaced when asked")
}

func testOutboxStatus(t *testing.T, c *outboxCase) {
	c.lease("one", false, "a")
	c.add("a", "", "1", "2", "3")
	list := c.read("a")
	c.park("one", list[0], outbox.Dead, 0)
	c.park("one", list[1], outbox.Doubtful, 0)
	_, err := c.store.OperateQueue(c.ctx, outbox.Operation{Action: outbox.PauseAction, Destination: "a", Who: "ana", Why: "month-end"})
	c.must(err, "pause")
	c.is(c.lease("one", true, "a").Paused["a"].Why, "month-end", "relays learn of a pause with their lease")
	time.Sleep(20 * time.Millisecond)
	list2, err := c.store.QueueStatus(c.ctx, 1000)
	c.must(err, "status")
	if len(list2) != 1 {
		t.Fatalf("want the status of one destination, got %+v", list2)
	}
	s := list2[0]
	c.is(s.Waiting == 1 && s.Dead == 1 && s.InDoubt == 1 && s.Parked == 0, true, "counts")
	c.is(s.Age >= 10*time.Millisecond && s.Age < time.Minute, true, "age of the oldest")
	c.is(s.Paused != nil && s.Paused.Who == "ana", true, "who paused it")
	_, err = c.store.OperateQueue(c.ctx, outbox.Operation{Action: outbox.ResumeAction, Destination: "a", Who: "ana"})
	c.must(err, "resume")
	c.is(len(c.lease("one", true, "a").Paused), 0, "resumed")
}
