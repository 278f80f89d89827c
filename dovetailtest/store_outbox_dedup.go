package dovetailtest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tectari/dovetail/outbox"
)

// testOutboxDedupMany: of many messages that are stored at once each DedupKey keeps the
// first, whatever is stored already and whoever stores the same ones at that moment.
func testOutboxDedupMany(t *testing.T, c *outboxCase) {
	entry := func(id, to, dedup string) outbox.Entry {
		return outbox.Entry{Message: outbox.Message{ID: id, To: to, DedupKey: dedup, Payload: []byte("p")}}
	}
	store := func(entries ...outbox.Entry) (duplicates []int, err error) {
		err = c.store.Transact(c.ctx, func(ctx context.Context, tx outbox.Tx) (err error) {
			duplicates, err = c.store.InsertMessages(ctx, tx, entries)
			return err
		})
		return duplicates, err
	}
	_, err := store(entry("0", "a", "old"))
	c.must(err, "insert one")
	later := entry("6", "a", "later")
	later.Due = time.Now().Add(time.Hour)
	laterAgain := entry("7", "a", "later")
	duplicates, err := store(entry("1", "a", "new"), entry("2", "a", "old"), entry("3", "a", ""), entry("4", "a", "new"), entry("5", "b", "new"),
		later, laterAgain, entry("3", "a", "it's \"odd\", {} \\ and \u00e9"), entry("3", "b", "old"))
	c.must(err, "insert many")
	c.is(fmt.Sprint(duplicates), "[1 3 6]", "the indexes of the duplicates")
	c.is(ids(c.read("a")), "0133", "stored for a, in their order")
	c.is(ids(c.read("b")), "53", "another destination has its own keys, and an ID may come twice")

	const callers, keys = 6, 40
	var wg sync.WaitGroup
	kept := make([]int, callers)
	for caller := range callers {
		wg.Go(func() {
			var entries []outbox.Entry
			for n := range keys { // in another order each
				key := fmt.Sprint("race", (n*(2*caller+1)+caller)%keys)
				entries = append(entries, entry(fmt.Sprint(key, "-", caller), "race", key))
			}
			duplicates, err := store(entries...)
			if err != nil {
				t.Errorf("insert many at once: %v", err)
			}
			kept[caller] = keys - len(duplicates)
		})
	}
	wg.Wait()
	total := 0
	for _, n := range kept {
		total += n
	}
	c.is(total, keys, "each key is kept once")
	c.is(len(c.read("race")), keys, "and stored once")
}
