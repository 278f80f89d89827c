package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/tectari/dovetail/alert"
)

// alertSQL is what a dialect says for the alert part.
type alertSQL struct {
	load, insert, update, remove, list string
	lease, release                     string
}

var _ alert.Store = (*Store)(nil)

// LoadProblem reads one problem; see alert.Store.
func (s *Store) LoadProblem(ctx context.Context, fingerprint string) (alert.Row, bool, error) {
	if err := s.ready(); err != nil {
		return alert.Row{}, false, err
	}
	r := alert.Row{Fingerprint: fingerprint}
	err := s.read().QueryRowContext(ctx, s.dialect.alert.load, fingerprint).Scan(&r.Seq, &r.Body)
	if errors.Is(err, sql.ErrNoRows) {
		return alert.Row{}, false, nil
	}
	if err != nil {
		return alert.Row{}, false, fmt.Errorf("load problem %s: %w", fingerprint, err)
	}
	return r, true, nil
}

// SaveProblem writes one problem; see alert.Store.
func (s *Store) SaveProblem(ctx context.Context, r alert.Row) error {
	query, args := s.dialect.alert.update, []any{r.Body, r.Fingerprint, r.Seq}
	if r.Seq == 0 {
		query, args = s.dialect.alert.insert, []any{r.Fingerprint, r.Body}
	}
	changed, err := s.alertExec(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("save problem %s: %w", r.Fingerprint, err)
	}
	if !changed {
		return alert.ErrStale
	}
	return nil
}

// DeleteProblem removes one problem; see alert.Store.
func (s *Store) DeleteProblem(ctx context.Context, fingerprint string, seq int64) error {
	removed, err := s.alertExec(ctx, s.dialect.alert.remove, fingerprint, seq)
	if err != nil {
		return fmt.Errorf("delete problem %s: %w", fingerprint, err)
	}
	if removed {
		return nil
	}
	_, there, err := s.LoadProblem(ctx, fingerprint)
	if err == nil && there {
		return alert.ErrStale
	}
	return err
}

// ListProblems reads a page of problems; see alert.Store.
func (s *Store) ListProblems(ctx context.Context, after string, limit int) ([]alert.Row, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	rows, err := s.read().QueryContext(ctx, s.dialect.alert.list, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list problems: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err is checked below
	var list []alert.Row
	for rows.Next() {
		var r alert.Row
		if err := rows.Scan(&r.Fingerprint, &r.Seq, &r.Body); err != nil {
			return nil, fmt.Errorf("list problems: %w", err)
		}
		list = append(list, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list problems: %w", err)
	}
	return list, nil
}

// LeaseAlerts makes holder the one that sends; see alert.Store.
func (s *Store) LeaseAlerts(ctx context.Context, holder string, ttl time.Duration) (bool, error) {
	ok, err := s.alertExec(ctx, s.dialect.alert.lease, holder, s.clock(), ttl.Milliseconds())
	if err != nil {
		return false, fmt.Errorf("lease alerts: %w", err)
	}
	return ok, nil
}

// ReleaseAlerts ends the lease of holder; see alert.Store.
func (s *Store) ReleaseAlerts(ctx context.Context, holder string) error {
	if _, err := s.alertExec(ctx, s.dialect.alert.release, holder); err != nil {
		return fmt.Errorf("release alerts: %w", err)
	}
	return nil
}

// alertExec runs one statement and reports whether it changed a row.
func (s *Store) alertExec(ctx context.Context, query string, args ...any) (changed bool, err error) {
	err = s.update(ctx, func(tx *session) error {
		res, err := tx.ExecContext(ctx, query, args...)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		changed = n > 0
		return err
	})
	return changed, err
}
