package memstore

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/tectari/dovetail/alert"
)

// alertState is the problems and who tells of them.
type alertState struct {
	rows   map[string]alert.Row
	holder string
	until  time.Time
}

func newAlertState() alertState { return alertState{rows: make(map[string]alert.Row)} }

var _ alert.Store = (*Store)(nil)

// LoadProblem reads one problem; see alert.Store.
func (s *Store) LoadProblem(ctx context.Context, fingerprint string) (r alert.Row, ok bool, err error) {
	err = s.update(ctx, func(*Tx) error {
		r, ok = s.alerts.rows[fingerprint]
		r.Body = slices.Clone(r.Body)
		return nil
	})
	return r, ok, err
}

// SaveProblem writes one problem; see alert.Store.
func (s *Store) SaveProblem(ctx context.Context, r alert.Row) error {
	return s.update(ctx, func(tx *Tx) error {
		if s.alerts.rows[r.Fingerprint].Seq != r.Seq {
			return alert.ErrStale
		}
		r.Seq++
		r.Body = slices.Clone(r.Body)
		put(tx, s.alerts.rows, r.Fingerprint, r)
		return nil
	})
}

// DeleteProblem removes one problem; see alert.Store.
func (s *Store) DeleteProblem(ctx context.Context, fingerprint string, seq int64) error {
	return s.update(ctx, func(tx *Tx) error {
		if r, ok := s.alerts.rows[fingerprint]; ok && r.Seq != seq {
			return alert.ErrStale
		}
		drop(tx, s.alerts.rows, fingerprint)
		return nil
	})
}

// ListProblems reads a page of problems; see alert.Store.
func (s *Store) ListProblems(ctx context.Context, after string, limit int) (rows []alert.Row, err error) {
	err = s.update(ctx, func(*Tx) error {
		for fp, r := range s.alerts.rows {
			if fp > after {
				r.Body = slices.Clone(r.Body)
				rows = append(rows, r)
			}
		}
		return nil
	})
	slices.SortFunc(rows, func(a, b alert.Row) int { return strings.Compare(a.Fingerprint, b.Fingerprint) })
	return rows[:min(limit, len(rows))], err
}

// LeaseAlerts makes holder the one that sends; see alert.Store.
func (s *Store) LeaseAlerts(ctx context.Context, holder string, ttl time.Duration) (ok bool, err error) {
	err = s.update(ctx, func(*Tx) error {
		now, a := time.Now(), &s.alerts
		if a.holder != "" && a.holder != holder && now.Before(a.until) {
			return nil
		}
		a.holder, a.until, ok = holder, now.Add(ttl), true
		return nil
	})
	return ok, err
}

// ReleaseAlerts ends the lease of holder; see alert.Store.
func (s *Store) ReleaseAlerts(ctx context.Context, holder string) error {
	return s.update(ctx, func(*Tx) error {
		if s.alerts.holder == holder {
			s.alerts.holder = ""
		}
		return nil
	})
}
