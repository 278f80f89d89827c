package alert

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

// memory is the Store of a manager that was given none, and of what cannot be
// stored while a store is away. Its lease is always granted.
type memory struct {
	mu   sync.Mutex
	rows map[string]Row
}

var _ Store = (*memory)(nil)

func newMemory() *memory { return &memory{rows: map[string]Row{}} }

func (s *memory) LoadProblem(_ context.Context, fingerprint string) (Row, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.rows[fingerprint]
	return r, ok, nil
}

func (s *memory) SaveProblem(_ context.Context, r Row) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rows[r.Fingerprint].Seq != r.Seq {
		return ErrStale
	}
	r.Seq++
	s.rows[r.Fingerprint] = r
	return nil
}

func (s *memory) DeleteProblem(_ context.Context, fingerprint string, seq int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.rows[fingerprint]
	if ok && r.Seq != seq {
		return ErrStale
	}
	delete(s.rows, fingerprint)
	return nil
}

func (s *memory) ListProblems(_ context.Context, after string, limit int) ([]Row, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rows []Row
	for fp, r := range s.rows {
		if fp > after {
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, func(a, b Row) int { return strings.Compare(a.Fingerprint, b.Fingerprint) })
	return rows[:min(limit, len(rows))], nil
}

func (s *memory) LeaseAlerts(context.Context, string, time.Duration) (bool, error) { return true, nil }

func (s *memory) ReleaseAlerts(context.Context, string) error { return nil }
