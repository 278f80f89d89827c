package memstore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tectari/dovetail/outbox"
)

type seenKey struct{ consumer, id string }

// SeenMessage remembers in tx, which must be a *Tx of this store, that a consumer
// has had a message.
func (s *Store) SeenMessage(_ context.Context, tx outbox.Tx, consumer, id string) (bool, error) {
	t, ok := tx.(*Tx)
	if !ok || t == nil || t.store != s {
		return false, fmt.Errorf("%w: a %T; memstore needs the *memstore.Tx of the same store", outbox.ErrForeignTx, tx)
	}
	if t.ended() {
		return false, ErrTxDone
	}
	k := seenKey{consumer, id}
	if _, seen := s.outbox.seen[k]; seen {
		return false, nil
	}
	put(t, s.outbox.seen, k, time.Now())
	return true, nil
}

// ForgetMessages forgets what SeenMessage remembered long ago.
func (s *Store) ForgetMessages(ctx context.Context, age time.Duration, limit int) (int, error) {
	n := 0
	err := s.update(ctx, func(tx *Tx) error {
		seen, end := s.outbox.seen, time.Now().Add(-age)
		keys := slices.SortedFunc(maps.Keys(seen), func(a, b seenKey) int { return seen[a].Compare(seen[b]) })
		for _, k := range keys {
			if n == limit || !seen[k].Before(end) {
				break
			}
			drop(tx, seen, k)
			n++
		}
		return nil
	})
	return n, err
}

var _ outbox.Inbox = (*Store)(nil)
