package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"time"
)

// busyRepeats bounds how often a busy transaction is repeated. Each attempt has
// already waited for the driver's own busy timeout.
const busyRepeats = 10

// update runs fn in one write transaction and commits it. Where the database
// says busy, or takes the transaction back, fn is run again, so it must start from
// nothing each time. fn must not keep the transaction, end it, or call update.
func (s *Store) update(ctx context.Context, work func(*session) error) error {
	fn := func(tx *sql.Tx) error { return work(s.in(tx)) }
	if err := s.ready(); err != nil {
		return err
	}
	if s.dialect.base.oneWriter {
		return s.group.do(ctx, fn, s.together)
	}
	return s.repeat(ctx, func() error { return s.once(ctx, fn) })
}

// repeat repeats a transaction while the database says busy.
func (s *Store) repeat(ctx context.Context, once func() error) error {
	for attempt := 1; ; attempt++ {
		err := once()
		if err == nil || attempt == busyRepeats || !s.dialect.base.busy(err) {
			return err
		}
		// A random wait, so that two processes do not meet again.
		wait := time.Duration(rand.Int64N(int64(attempt) * int64(10*time.Millisecond)))
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// once runs fn in one transaction.
func (s *Store) once(ctx context.Context, fn func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: s.dialect.base.isolation})
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	// After a commit this does nothing. After a failure its own error says no
	// more than the failure does.
	defer func() { _ = tx.Rollback() }()
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// millis is how a time is stored: milliseconds since 1970. The zero time is 0.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// fromMillis is the inverse of millis, in UTC.
func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// clock is the parameter of coalesce(?, now) in every statement that reads the
// time: null, so that the database's clock decides.
func (s *Store) clock() any { return nil }
