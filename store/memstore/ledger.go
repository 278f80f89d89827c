package memstore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tectari/dovetail/idempotency"
)

// ledgerState is the ledger of writes.
type ledgerState struct {
	entries map[idempotency.Key]idempotency.Entry
}

func newLedgerState() ledgerState {
	return ledgerState{entries: make(map[idempotency.Key]idempotency.Entry)}
}

var (
	_ idempotency.TxStore    = (*Store)(nil)
	_ idempotency.Lister     = (*Store)(nil)
	_ idempotency.BatchStore = (*Store)(nil)
)

// Claim decides who has a key; see idempotency.Store.
func (s *Store) Claim(ctx context.Context, r idempotency.ClaimRequest) (c idempotency.Claim, err error) {
	err = s.update(ctx, func(tx *Tx) error {
		e, found := s.ledger.entries[r.Key]
		c.Verdict = r.Apply(&e, found, time.Now())
		c.Entry = clone(e)
		put(tx, s.ledger.entries, r.Key, e)
		return nil
	})
	return c, err
}

// ClaimMany decides many claims; see idempotency.BatchStore.
func (s *Store) ClaimMany(ctx context.Context, requests []idempotency.ClaimRequest) ([]idempotency.Claim, error) {
	claims := make([]idempotency.Claim, len(requests))
	for i, r := range requests {
		var err error
		if claims[i], err = s.Claim(ctx, r); err != nil {
			return nil, err
		}
	}
	return claims, nil
}

// MarkSending records that a request is about to be sent; see idempotency.Store.
func (s *Store) MarkSending(ctx context.Context, m idempotency.Mark) error {
	return s.fenced(ctx, m.Key, m.Fence, func(e *idempotency.Entry) {
		m.Request = slices.Clone(m.Request)
		m.Apply(e, time.Now())
	})
}

// Release gives a key back; see idempotency.Store.
func (s *Store) Release(ctx context.Context, r idempotency.Release) error {
	return s.fenced(ctx, r.Key, r.Fence, func(e *idempotency.Entry) { r.Apply(e, time.Now()) })
}

// Renew extends a lease; see idempotency.Store.
func (s *Store) Renew(ctx context.Context, k idempotency.Key, fence int64, lease time.Duration) error {
	return s.fenced(ctx, k, fence, func(e *idempotency.Entry) { e.LeaseUntil = time.Now().Add(lease) })
}

// fenced changes the entry of a claim that holds.
func (s *Store) fenced(ctx context.Context, k idempotency.Key, fence int64, change func(*idempotency.Entry)) error {
	return s.update(ctx, func(tx *Tx) error {
		e, found := s.ledger.entries[k]
		if !found || e.Fence != fence || e.State == idempotency.Done {
			return idempotency.ErrFenced
		}
		change(&e)
		put(tx, s.ledger.entries, k, e)
		return nil
	})
}

// Complete records an outcome; see idempotency.Store.
func (s *Store) Complete(ctx context.Context, c idempotency.Completion) error {
	return s.update(ctx, func(tx *Tx) error { return s.complete(tx, c) })
}

// CompleteTx records an outcome in the caller's transaction, which must be a *Tx
// of this store.
func (s *Store) CompleteTx(_ context.Context, tx idempotency.Tx, c idempotency.Completion) error {
	t, ok := tx.(*Tx)
	if !ok || t == nil || t.store != s {
		return fmt.Errorf("memstore: complete %s: a %T is no transaction of this store", c.Key, tx)
	}
	return s.complete(t, c)
}

func (s *Store) complete(tx *Tx, c idempotency.Completion) error {
	e, found := s.ledger.entries[c.Key]
	if !found || e.Fence != c.Fence {
		return idempotency.ErrFenced
	}
	c.Result = slices.Clone(c.Result)
	c.Apply(&e, time.Now())
	put(tx, s.ledger.entries, c.Key, e)
	return nil
}

// Get reads an entry; see idempotency.Store.
func (s *Store) Get(ctx context.Context, k idempotency.Key) (e idempotency.Entry, found bool, err error) {
	err = s.update(ctx, func(*Tx) error {
		e, found = s.ledger.entries[k]
		e = clone(e)
		return nil
	})
	return e, found, err
}

// Sweep removes old operations; see idempotency.Store.
func (s *Store) Sweep(ctx context.Context, age time.Duration, limit int) (n int, err error) {
	err = s.update(ctx, func(tx *Tx) error {
		n = 0
		before := time.Now().Add(-age)
		for k, e := range s.ledger.entries {
			if n < limit && e.Kind == idempotency.Operation && e.State == idempotency.Done && e.Updated.Before(before) {
				drop(tx, s.ledger.entries, k)
				n++
			}
		}
		return nil
	})
	return n, err
}

// Open lists what is in doubt; see idempotency.Lister.
func (s *Store) Open(ctx context.Context, after idempotency.Key, limit int) (open []idempotency.Entry, err error) {
	err = s.update(ctx, func(*Tx) error {
		now := time.Now()
		keys := slices.SortedFunc(maps.Keys(s.ledger.entries), idempotency.Key.Compare)
		for _, k := range keys {
			e := s.ledger.entries[k]
			doubt := e.State == idempotency.Doubt || (e.State == idempotency.Sending && !e.LeaseUntil.After(now))
			if doubt && len(open) < limit && k.Compare(after) > 0 {
				open = append(open, clone(e))
			}
		}
		return nil
	})
	return open, err
}

// clone returns e so that the caller can neither change the store nor see it
// change.
func clone(e idempotency.Entry) idempotency.Entry {
	e.Request, e.Result, e.Now = slices.Clone(e.Request), slices.Clone(e.Result), time.Now()
	return e
}
