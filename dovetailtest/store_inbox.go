package dovetailtest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tectari/dovetail/outbox"
)

// RunInboxStore checks that a store keeps the contract of outbox.Inbox. newStore
// makes an empty store, ready for use, for each case.
func RunInboxStore(t *testing.T, newStore func(t *testing.T) outbox.Store) {
	t.Helper()
	cases := []struct {
		name string
		run  func(t *testing.T, c *inboxCase)
	}{
		{"FirstIsFirstOnce", testInboxOnce},
		{"RolledBackIsForgotten", testInboxRollback},
		{"FalseLeavesTheTransactionUsable", testInboxUsable},
		{"NamesAreComparedByteByByte", testInboxBytes},
		{"OneOfManyIsFirst", testInboxRace},
		{"ForeignTxIsRefused", testInboxForeign},
		{"ForgettingIsBounded", testInboxForget},
	}
	for _, run := range cases {
		t.Run(run.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			inbox, ok := s.(outbox.Inbox)
			if !ok {
				t.Fatalf("%T is no outbox.Inbox: a consumer cannot remember in the transaction of its effect", s)
			}
			run.run(t, &inboxCase{outboxCase: outboxCase{t: t, store: s, ctx: t.Context()}, inbox: inbox})
		})
	}
}

// An inboxCase is a store under test.
type inboxCase struct {
	outboxCase
	inbox outbox.Inbox
}

// seen asks for a message in a transaction of its own, which commits.
func (c *inboxCase) seen(consumer, id string) bool {
	c.t.Helper()
	var first bool
	c.must(c.store.Transact(c.ctx, func(ctx context.Context, tx outbox.Tx) (err error) {
		first, err = c.inbox.SeenMessage(ctx, tx, consumer, id)
		return err
	}), "seen")
	return first
}

func testInboxOnce(_ *testing.T, c *inboxCase) {
	c.is(c.seen("billing", "1"), true, "a new message is the first")
	c.is(c.seen("billing", "1"), false, "a message that was seen is not")
	c.is(c.seen("billing", "2"), true, "another message is")
	c.is(c.seen("mail", "1"), true, "another consumer has its own memory")
}

func testInboxRollback(t *testing.T, c *inboxCase) {
	err := c.store.Transact(c.ctx, func(ctx context.Context, tx outbox.Tx) error {
		first, err := c.inbox.SeenMessage(ctx, tx, "billing", "1")
		c.must(err, "seen")
		c.is(first, true, "a new message is the first")
		return errBack
	})
	if !errors.Is(err, errBack) {
		t.Fatalf("Transact must return fn's error, got %v", err)
	}
	c.is(c.seen("billing", "1"), true, "what was rolled back was not seen: its effect did not happen")
}

func testInboxUsable(_ *testing.T, c *inboxCase) {
	c.seen("billing", "1")
	c.must(c.store.Transact(c.ctx, func(ctx context.Context, tx outbox.Tx) error {
		for _, id := range []string{"1", "2", "2"} {
			if _, err := c.inbox.SeenMessage(ctx, tx, "billing", id); err != nil {
				return err
			}
		}
		_, err := c.store.InsertMessages(ctx, tx, []outbox.Entry{{Message: outbox.Message{ID: "x", To: "a", Payload: []byte("x")}}})
		return err
	}), "work in a transaction that met a message again")
	c.is(ids(c.read("a")), "x", "the rest of the transaction committed")
	c.is(c.seen("billing", "2"), false, "and so did what it saw")
}

func testInboxBytes(_ *testing.T, c *inboxCase) {
	long := strings.Repeat("x", 1023)
	for _, k := range [][2]string{
		{"a", "b"}, {"A", "b"}, {"a", "B"}, {"a", "b "}, {"a ", "b"}, {"ab", "c"}, {"a", "bc"}, {"\u00e9", "n"}, {"e\u0301", "n"}, {"e", "n"},
		{"%", "_"}, {"'", "\\"}, {long + "1", long + "1"}, {long + "2", long + "1"}, {long + "1", long + "2"},
	} {
		c.is(c.seen(k[0], k[1]), true, "different names must not be taken for each other")
		c.is(c.seen(k[0], k[1]), false, "the same name must be recognised")
	}
}

func testInboxRace(t *testing.T, c *inboxCase) {
	var mu sync.Mutex
	firsts := 0
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			var first bool
			err := c.store.Transact(c.ctx, func(ctx context.Context, tx outbox.Tx) (err error) {
				if first, err = c.inbox.SeenMessage(ctx, tx, "billing", "1"); err == nil {
					time.Sleep(5 * time.Millisecond) // the effect
				}
				return err
			})
			if err == nil && first { // a database that cannot wait may refuse
				mu.Lock()
				defer mu.Unlock()
				firsts++
			}
		})
	}
	all.Wait()
	if firsts != 1 {
		t.Fatalf("of transactions that see one message at once, exactly one that commits is first, got %d", firsts)
	}
}

func testInboxForeign(t *testing.T, c *inboxCase) {
	_, err := c.inbox.SeenMessage(c.ctx, foreignTx{}, "billing", "1")
	if !errors.Is(err, outbox.ErrForeignTx) {
		t.Fatalf("a transaction of another kind must be refused with ErrForeignTx, got %v", err)
	}
}

func testInboxForget(_ *testing.T, c *inboxCase) {
	forget := func(age time.Duration, limit, want int, why string) {
		c.t.Helper()
		n, err := c.inbox.ForgetMessages(c.ctx, age, limit)
		c.must(err, "forget")
		c.is(n, want, why)
	}
	for _, id := range []string{"1", "2", "3"} {
		c.seen("billing", id)
		time.Sleep(20 * time.Millisecond) // stores may keep milliseconds
	}
	forget(time.Hour, 10, 0, "nothing is that old")
	time.Sleep(300 * time.Millisecond)
	c.seen("billing", "4")
	forget(200*time.Millisecond, 2, 2, "no more than the limit")
	c.is(c.seen("billing", "3"), false, "the oldest go first")
	forget(200*time.Millisecond, 10, 1, "the rest of what is old")
	c.is(c.seen("billing", "4"), false, "what is newer stays")
	c.is(c.seen("billing", "1"), true, "what was forgotten is new again")
}
