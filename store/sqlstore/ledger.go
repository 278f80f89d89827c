package sqlstore

import (
	"cmp"
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
	getMany  string // null, keys as a JSON list of [scope, id, op]
	insert   string // scope, id, op, and the columns
	claim    string // state, seq, fence, attempt, lease_until, last_sent, updated; scope, id, op; fence, state, lease_until, seq as read
	mark     string // unsure if in doubt, null, fingerprint, seq, request; scope, id, op, fence
	complete string // fingerprint, ref, version, result, who, null; scope, id, op, fence
	release  string // not applied, settled, null, cause, who; scope, id, op, fence
	renew    string // null, lease; scope, id, op, fence
	sweep    string // null, age, limit
	open     string // null, scope, id, op, limit
}

// The columns of the ledger, in the order in which scanLedger reads them.
const ledgerColumns = `kind, state, fingerprint, seq, request, fence, attempt, lease_until, first_sent, last_sent, unsure, ref, version, result, cause, who, created, updated`

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
		t := trial{old: old, found: found}
		c := t.decide(r)
		if t.idle() {
			return c, nil
		}
		err = s.single(ctx, func(x *session) error { return s.writeClaim(ctx, x, t) })
		if !errors.Is(err, errMoved) {
			return c, err
		}
	}
	return idempotency.Claim{}, fmt.Errorf("sqlstore: claim %s: %w %d times", r.Key, errMoved, claimRepeats)
}

// A trial is a claim that was decided on what was read, and is not written yet.
type trial struct {
	old, new idempotency.Entry
	found    bool
}

// decide decides the claim on what was read.
func (t *trial) decide(r idempotency.ClaimRequest) idempotency.Claim {
	t.new = t.old
	v := r.Apply(&t.new, t.found, t.old.Now)
	return idempotency.Claim{Verdict: v, Entry: t.new}
}

// idle reports that there is nothing to be written.
func (t *trial) idle() bool {
	return t.found && t.new.Fence == t.old.Fence && t.new.Seq == t.old.Seq
}

// single runs one statement in a transaction of its own.
func (s *Store) single(ctx context.Context, work func(*session) error) error {
	if err := s.ready(); err != nil || !s.dialect.base.alone {
		return cmp.Or(err, s.update(ctx, work))
	}
	return s.repeat(ctx, func() error { return work(s.read()) })
}

func (s *Store) writeClaim(ctx context.Context, tx *session, t trial) error {
	e, old := t.new, t.old
	if !t.found {
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
	return s.single(ctx, func(tx *session) error { return s.one(ctx, tx, idempotency.ErrFenced, statement, args...) })
}

// MarkSending records that a request is about to be sent; see idempotency.Store.
func (s *Store) MarkSending(ctx context.Context, m idempotency.Mark) error {
	return s.fenced(ctx, s.dialect.ledger.mark, bit(!m.Settled), s.clock(),
		m.Fingerprint[:], m.Seq, m.Request, m.Key.Scope, m.Key.ID, m.Key.Op, m.Fence)
}

// Complete records an outcome; see idempotency.Store.
func (s *Store) Complete(ctx context.Context, c idempotency.Completion) error {
	return s.single(ctx, func(tx *session) error { return s.complete(ctx, tx, c) })
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
		c.Fingerprint[:], c.Ref.ID, c.Ref.Version, c.Result, c.By, s.clock(), c.Key.Scope, c.Key.ID, c.Key.Op, c.Fence)
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
