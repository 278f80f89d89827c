package sync_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tectari/dovetail/idempotency"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
	datasync "github.com/tectari/dovetail/sync"
)

// simStore is the memory store with crash points, and with the queue's messages
// taken out for the world to deliver in any order.
type simStore struct {
	*memstore.Store
	w       *world
	pending []outbox.Entry
}

func (s *simStore) UpdateRecords(ctx context.Context, fn func(tx datasync.Tx) error) error {
	s.w.point()
	err := s.Store.UpdateRecords(ctx, func(tx datasync.Tx) error {
		s.pending = nil
		return fn(simTx{Tx: tx, w: s.w})
	})
	s.flush(err)
	if err == nil {
		s.w.point()
	}
	return err
}

func (s *simStore) Transact(ctx context.Context, fn func(ctx context.Context, tx outbox.Tx) error) error {
	s.w.point()
	err := s.Store.Transact(ctx, func(ctx context.Context, tx outbox.Tx) error {
		s.pending = nil
		return fn(ctx, tx)
	})
	s.flush(err)
	return err
}

func (s *simStore) flush(err error) {
	if err == nil {
		for _, e := range s.pending {
			s.w.queue[[2]string{e.To, e.Key}] = time.Time{}
		}
	}
	s.pending = nil
}

func (s *simStore) InsertMessages(_ context.Context, _ outbox.Tx, entries []outbox.Entry) ([]int, error) {
	s.pending = append(s.pending, entries...)
	return nil, nil
}

// QueueStatus is asked by whoever enqueues where no relay runs. Here the world
// delivers, so there is nothing to see.
func (s *simStore) QueueStatus(context.Context, int) ([]outbox.Status, error) {
	return nil, errWorldDelivers
}

var errWorldDelivers = errors.New("the world delivers")

func (s *simStore) LoadRecord(ctx context.Context, link, key string) (datasync.Row, bool, error) {
	row, ok, err := s.Store.LoadRecord(ctx, link, key)
	if ok {
		row = s.w.link.Mutate(row, s.w.mutant)
	}
	return row, ok, err
}

// Claim is the ledger's door; two mutants stand in it.
func (s *simStore) Claim(ctx context.Context, c idempotency.ClaimRequest) (idempotency.Claim, error) {
	switch s.w.mutant {
	case "a fresh key for every attempt":
		s.w.serial++
		c.Key.Op += fmt.Sprint(s.w.serial)
	case "no generation in the key":
		c.Key.Op, _, _ = strings.Cut(c.Key.Op, "#")
	}
	return s.Store.Claim(ctx, c)
}

type simTx struct {
	datasync.Tx
	w *world
}

func (t simTx) Load(ctx context.Context, link, key string) (datasync.Row, bool, error) {
	row, ok, err := t.Tx.Load(ctx, link, key)
	if ok {
		row = t.w.link.Mutate(row, t.w.mutant)
	}
	return row, ok, err
}

func (t simTx) Find(ctx context.Context, l datasync.Lookup, limit int) ([]string, error) {
	if l.By == datasync.ByCreating && t.w.mutant == "take an unknown record while a create is open" {
		return nil, nil
	}
	return t.Tx.Find(ctx, l, limit)
}
