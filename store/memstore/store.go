package memstore

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// A Store keeps Dovetail's state in memory. Make one with New. It is safe for
// concurrent use: one transaction at a time has all of it.
type Store struct {
	// lock is held by the transaction under way. A channel, so that waiting for
	// it ends with the context, and so that a test with a fake clock can see that
	// everybody waits.
	lock chan struct{}

	outbox outboxState
	ledger ledgerState
	alerts alertState
	sync   syncState
}

// New returns an empty store.
func New() *Store {
	return &Store{lock: make(chan struct{}, 1), outbox: newOutboxState(), ledger: newLedgerState(), alerts: newAlertState(), sync: newSyncState()}
}

// ErrTxDone is returned by Commit and Rollback of a transaction that has ended.
var ErrTxDone = errors.New("memstore: transaction has already been committed or rolled back")

// A Tx is a transaction of a Store: it has the whole store until Commit or
// Rollback. Make one with Begin. Use it from one goroutine; Commit and Rollback
// may be called from any.
type Tx struct {
	store *Store
	mu    sync.Mutex
	done  bool
	undos []func()
}

// Begin starts a transaction, which waits for the one under way to end. It
// returns the context's error if ctx is done first.
func (s *Store) Begin(ctx context.Context) (*Tx, error) {
	if err := s.take(ctx); err != nil {
		return nil, err
	}
	return &Tx{store: s}, nil
}

// take waits until the store is free, and takes it.
func (s *Store) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) free() { <-s.lock }

// Commit keeps what the transaction did. It returns ErrTxDone if the transaction
// has ended.
func (t *Tx) Commit() error { return t.end(false) }

// Rollback takes back what the transaction did. It returns ErrTxDone if the
// transaction has ended, so that it can be deferred as with database/sql.
func (t *Tx) Rollback() error { return t.end(true) }

func (t *Tx) end(back bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done {
		return ErrTxDone
	}
	t.done = true
	if back {
		for _, undo := range slices.Backward(t.undos) {
			undo()
		}
	}
	t.undos = nil
	t.store.free()
	return nil
}

// undo says how to take back the change that is being made. Undos run last first.
func (t *Tx) undo(f func()) { t.undos = append(t.undos, f) }

// update runs fn in a transaction and commits it, or rolls it back if fn fails.
func (s *Store) update(ctx context.Context, fn func(*Tx) error) error {
	tx, err := s.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// put sets m[k] to v inside tx.
func put[K comparable, V any](tx *Tx, m map[K]V, k K, v V) {
	old, had := m[k]
	tx.undo(func() {
		if had {
			m[k] = old
		} else {
			delete(m, k)
		}
	})
	m[k] = v
}

// drop deletes m[k] inside tx.
func drop[K comparable, V any](tx *Tx, m map[K]V, k K) {
	old, had := m[k]
	if !had {
		return
	}
	tx.undo(func() { m[k] = old })
	delete(m, k)
}

// ended reports whether the transaction is over.
func (t *Tx) ended() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.done
}
