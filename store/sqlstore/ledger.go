package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/tectari/dovetail/idempotency"
)

// ledgerSQL is what a dialect says for the ledger part. Where statements take the
// time it is null, see Store.clock.
type ledgerSQL struct {
	get      string // null, scope, id, op
	insert   string // scope, id, op, and the columns
	claim    string // state, seq, fence, attempt, lease_until, last_sent, updated; scope, id, op; fence, state, lease_until, seq as read
	mark     string // unsure if in doubt, the same, null, null, null, fingerprint, seq, request; scope, id, op, fence
	complete string // fingerprint, ref, version, result, who, null, null; scope, id, op, fence
	release  string // not applied, settled, null, cause, who; scope, id, op, fence
	renew    string // null, lease; scope, id, op, fence
	sweep    string // null, age, limit
	open     string // null, scope, id, op, limit
}

var (
	_ idempotency.TxStore = (*Store)(nil)
	_ idempotency.Lister  = (*Store)(nil)
)

// claimRepeats bounds how often a claim starts again because the entry changed
// between reading and writing. Each time somebody else got further.
const claimRepeats = 100

// errMoved says that the entry is not any more what was read.
var errMoved = errors.New("sqlstore: the entry changed")

// Claim decides who has a key; see idempotency.Store. It reads without a lock and
// then writes on the condition that nothing has changed: what is done already, by
// far the most frequent, costs one read.
func (s *Store) Claim(ctx context.Context, r idempotency.ClaimRequest) (idempotency.Claim, error) {
	for range claimRepeats {
		old, found, err := s.Get(ctx, r.Key)
		if err != nil {
			return idempotency.Claim{}, err
		}
		e := old
		c := idempotency.Claim{Verdict: r.Apply(&e, found, old.Now)}
		if !found {
			e.Now = old.Now
		}
		c.Entry = e
		if found && e.Fence == old.Fence && e.Seq == old.Seq {
			return c, nil
		}
		err = s.update(ctx, func(tx *session) error { return s.writeClaim(ctx, tx, old, found, e) })
		if !errors.Is(err, errMoved) {
			return c, err
		}
	}
	return idempotency.Claim{}, fmt.Errorf("sqlstore: claim %s: %w %d times", r.Key, errMoved, claimRepeats)
}

func (s *Store) writeClaim(ctx context.Context, tx *session, old idempotency.Entry, found bool, e idempotency.Entry) error {
	if !found {
		return s.one(ctx, tx, errMoved, s.dialect.ledger.insert, e.Key.Scope, e.Key.ID, e.Key.Op,
			e.Kind, e.State, e.Fingerprint[:], e.Seq, nil, e.Fence, e.Attempt, millis(e.LeaseUntil), 0, 0, 0, "", "", nil, "", "",
			millis(e.Created), millis(e.Updated))
	}
	return s.one(ctx, tx, errMoved, s.dialect.ledger.claim,
		e.State, e.Seq, e.Fence, e.Attempt, millis(e.LeaseUntil), millis(e.LastSent), millis(e.Updated),
		e.Key.Scope, e.Key.ID, e.Key.Op, old.Fence, old.State, millis(old.LeaseUntil), old.Seq)
}

// one runs a statement that must change one row, and returns otherwise if it
// changed none.
func (s *Store) one(ctx context.Context, tx *session, otherwise error, statement string, args ...any) error {
	res, err := tx.ExecContext(ctx, statement, args...)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		err = otherwise
	}
	return err
}

// fenced runs a statement that changes the row of a claim that holds.
func (s *Store) fenced(ctx context.Context, statement string, args ...any) error {
	return s.update(ctx, func(tx *session) error { return s.one(ctx, tx, idempotency.ErrFenced, statement, args...) })
}

// MarkSending records that a request is about to be sent; see idempotency.Store.
func (s *Store) MarkSending(ctx context.Context, m idempotency.Mark) error {
	unsure := bit(!m.Settled)
	return s.fenced(ctx, s.dialect.ledger.mark, unsure, unsure, s.clock(), s.clock(), s.clock(),
		m.Fingerprint[:], m.Seq, m.Request, m.Key.Scope, m.Key.ID, m.Key.Op, m.Fence)
}

// Complete records an outcome; see idempotency.Store.
func (s *Store) Complete(ctx context.Context, c idempotency.Completion) error {
	return s.update(ctx, func(tx *session) error { return s.complete(ctx, tx, c) })
}

// CompleteTx records an outcome in the caller's transaction, which must be a
// *sql.Tx of this database.
func (s *Store) CompleteTx(ctx context.Context, tx idempotency.Tx, c idempotency.Completion) error {
	if err := s.ready(); err != nil {
		return err
	}
	t, ok := tx.(*sql.Tx)
	if !ok || t == nil {
		return fmt.Errorf("sqlstore: complete %s: a %T; sqlstore needs the *sql.Tx of its database", c.Key, tx)
	}
	return s.complete(ctx, s.in(t), c)
}

func (s *Store) complete(ctx context.Context, tx *session, c idempotency.Completion) error {
	return s.one(ctx, tx, idempotency.ErrFenced, s.dialect.ledger.complete,
		c.Fingerprint[:], c.Ref.ID, c.Ref.Version, c.Result, c.By, s.clock(), s.clock(), c.Key.Scope, c.Key.ID, c.Key.Op, c.Fence)
}

// Release gives a key back; see idempotency.Store.
func (s *Store) Release(ctx context.Context, r idempotency.Release) error {
	return s.fenced(ctx, s.dialect.ledger.release, bit(r.NotApplied), bit(r.Settled), s.clock(), r.Cause, r.By,
		r.Key.Scope, r.Key.ID, r.Key.Op, r.Fence)
}

// Renew extends a lease; see idempotency.Store.
func (s *Store) Renew(ctx context.Context, k idempotency.Key, fence int64, lease time.Duration) error {
	return s.fenced(ctx, s.dialect.ledger.renew, s.clock(), lease.Milliseconds(), k.Scope, k.ID, k.Op, fence)
}

// Get reads an entry; see idempotency.Store.
func (s *Store) Get(ctx context.Context, k idempotency.Key) (idempotency.Entry, bool, error) {
	if err := s.ready(); err != nil {
		return idempotency.Entry{}, false, err
	}
	return scanLedger(s.read().QueryRowContext(ctx, s.dialect.ledger.get, s.clock(), k.Scope, k.ID, k.Op))
}

// Sweep removes old operations; see idempotency.Store.
func (s *Store) Sweep(ctx context.Context, age time.Duration, limit int) (int, error) {
	var n int64
	err := s.update(ctx, func(tx *session) error {
		res, err := tx.ExecContext(ctx, s.dialect.ledger.sweep, s.clock(), age.Milliseconds(), limit)
		if err != nil {
			return err
		}
		n, err = res.RowsAffected()
		return err
	})
	return int(n), err
}

// Open lists what is in doubt; see idempotency.Lister.
func (s *Store) Open(ctx context.Context, after idempotency.Key, limit int) ([]idempotency.Entry, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	rows, err := s.read().QueryContext(ctx, s.dialect.ledger.open, s.clock(), after.Scope, after.ID, after.Op, limit)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err is checked below
	var open []idempotency.Entry
	for rows.Next() {
		e, _, err := scanLedger(rows)
		if err != nil {
			return nil, err
		}
		open = append(open, e)
	}
	return open, rows.Err()
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
