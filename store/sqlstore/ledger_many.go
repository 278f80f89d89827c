package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/tectari/dovetail/idempotency"
)

var _ idempotency.BatchStore = (*Store)(nil)

// ClaimMany decides many claims; see idempotency.BatchStore. All are read in one
// query, and what changes is written in one transaction. A claim whose entry changed
// in between is made again by itself.
func (s *Store) ClaimMany(ctx context.Context, requests []idempotency.ClaimRequest) ([]idempotency.Claim, error) {
	trials, err := s.readMany(ctx, requests)
	if err != nil {
		return nil, err
	}
	claims := make([]idempotency.Claim, len(requests))
	var writes []int
	for i, r := range requests {
		claims[i] = trials[i].decide(r)
		if !trials[i].idle() {
			writes = append(writes, i)
		}
	}
	if len(writes) == 0 {
		return claims, nil
	}
	// All writers touch rows in one order, or two would wait for each other.
	slices.SortFunc(writes, func(a, b int) int { return requests[a].Key.Compare(requests[b].Key) })
	var moved []int
	err = s.update(ctx, func(tx *session) error {
		moved = moved[:0]
		for _, i := range writes {
			err := s.writeClaim(ctx, tx, trials[i])
			if errors.Is(err, errMoved) {
				moved = append(moved, i)
			} else if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("sqlstore: claim %d keys: %w", len(writes), err)
	}
	for _, i := range moved {
		if claims[i], err = s.Claim(ctx, requests[i]); err != nil {
			return nil, err
		}
	}
	return claims, nil
}

// readMany reads the entries of the requests, in their order.
func (s *Store) readMany(ctx context.Context, requests []idempotency.ClaimRequest) ([]trial, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	keys := make([][3]string, len(requests))
	for i, r := range requests {
		keys[i] = [3]string{r.Key.Scope, r.Key.ID, r.Key.Op}
	}
	text, err := list(keys)
	if err != nil {
		return nil, err
	}
	rows, err := s.read().QueryContext(ctx, s.dialect.ledger.getMany, s.clock(), text)
	if err != nil {
		return nil, fmt.Errorf("sqlstore: read %d keys: %w", len(keys), err)
	}
	defer func() { _ = rows.Close() }() // rows.Err is checked below
	trials := make([]trial, 0, len(requests))
	for rows.Next() {
		old, found, err := scanLedger(rows)
		if err != nil {
			return nil, err
		}
		trials = append(trials, trial{old: old, found: found})
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("sqlstore: read %d keys: %w", len(keys), err)
	}
	if len(trials) != len(requests) {
		return nil, fmt.Errorf("sqlstore: read %d keys: got %d rows", len(keys), len(trials))
	}
	return trials, nil
}

// scanLedger reads the time and one entry, whose columns are null where there is
// none.
func scanLedger(row interface{ Scan(dest ...any) error }) (e idempotency.Entry, found bool, err error) {
	var (
		now                                             int64
		scope, id, op, ref, version, cause, who         sql.NullString
		kind, state, seq, fence, attempt, lease, unsure sql.NullInt64
		firstSent, lastSent, created, updated           sql.NullInt64
		fingerprint, request, result                    []byte
	)
	err = row.Scan(&now, &scope, &id, &op, &kind, &state, &fingerprint, &seq, &request, &fence, &attempt, &lease,
		&firstSent, &lastSent, &unsure, &ref, &version, &result, &cause, &who, &created, &updated)
	if err != nil {
		return e, false, err
	}
	e.Now = fromMillis(now)
	if !scope.Valid {
		return e, false, nil
	}
	e = idempotency.Entry{
		Key:  idempotency.Key{Scope: scope.String, ID: id.String, Op: op.String},
		Kind: idempotency.Kind(kind.Int64), State: idempotency.State(state.Int64), // #nosec G115 -- our own small numbers
		Seq: seq.Int64, Request: request, Fence: fence.Int64, Attempt: int(attempt.Int64), LeaseUntil: fromMillis(lease.Int64),
		FirstSent: fromMillis(firstSent.Int64), LastSent: fromMillis(lastSent.Int64), Unsure: unsure.Int64 != 0,
		Ref: idempotency.Ref{ID: ref.String, Version: version.String}, Result: result, Cause: cause.String, By: who.String,
		Created: fromMillis(created.Int64), Updated: fromMillis(updated.Int64), Now: e.Now,
	}
	if copy(e.Fingerprint[:], fingerprint) != len(e.Fingerprint) {
		return e, false, fmt.Errorf("sqlstore: entry %s: a fingerprint of %d bytes", e.Key, len(fingerprint))
	}
	return e, true, nil
}
