package alert

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tectari/dovetail"
)

const (
	// tick is how often Run looks for what is due.
	tick = time.Second
	// leaseTTL is how long another process waits before it takes over.
	leaseTTL = 30 * time.Second
	// overflowRest is how long nothing may overflow before that is over.
	overflowRest = 10 * time.Minute
)

// Run sends what is due, once a second, until ctx is done. Of several processes
// with one Store, one sends; another takes over within half a minute of its
// death, at once if it ends in order. Run returns nil once ctx is done, what was
// tallied is written, and every sink has returned. Call it once per Manager.
func (m *Manager) Run(ctx context.Context) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		m.step(ctx)
		select {
		case <-ticker.C:
			continue
		case <-ctx.Done():
		}
		m.sending.Wait()
		m.stop(ctx)
		return nil
	}
}

// stop writes what is tallied and hands the lease over.
func (m *Manager) stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
	defer cancel()
	err := m.main.sync(ctx, m.now())
	if m.leased.Swap(0) != 0 {
		err = errors.Join(err, m.main.store.ReleaseAlerts(ctx, m.holder))
	}
	if err != nil {
		m.observer.Record(ctx, dovetail.Event{Name: "alert.store", Time: m.now(), Outcome: "failed", Err: fmt.Errorf("alert: stop: %w", err), Class: dovetail.Classify(err)})
	}
}

// step does everything that is due now, but for the sending, which it starts.
func (m *Manager) step(ctx context.Context) {
	leads := m.lead(ctx)
	m.health(ctx, m.now(), leads)
	var items []item
	for _, b := range m.books() {
		now := m.now()
		err := b.sync(ctx, now)
		if err != nil && ctx.Err() == nil {
			m.storeFailed(ctx, err, now)
		}
		if _, unreadable := errors.AsType[*unreadableError](err); err != nil && !unreadable {
			continue
		}
		if err == nil && b == m.main && m.spare != nil {
			_ = m.spare.clear(ctx, clearance{problem: Problem{Rule: AlertPath, Code: "store"}, note: "the store answers again", at: now}) // memory does not fail
		}
		if b == m.main && !leads {
			continue
		}
		for _, s := range b.states() {
			items = append(items, item{book: b, state: s})
		}
	}
	slices.SortFunc(items, func(a, b item) int { return a.state.First.Compare(b.state.First) })
	m.dispatch(ctx, items)
	m.tidy(ctx, items)
}

// lead takes or renews the lease and reports whether this process sends.
func (m *Manager) lead(ctx context.Context) bool {
	now := m.now()
	ok, err := m.main.store.LeaseAlerts(ctx, m.holder, leaseTTL)
	if err != nil {
		if ctx.Err() == nil {
			m.storeFailed(ctx, fmt.Errorf("alert: lease: %w", err), now)
		}
		return m.leased.Load() > now.UnixNano()
	}
	if !ok {
		m.leased.Store(0)
		return false
	}
	m.leased.Store(now.Add(leaseTTL).UnixNano())
	return true
}

// dispatch starts one goroutine for each sink that has something to be told and
// is not at work.
func (m *Manager) dispatch(ctx context.Context, items []item) {
	if ctx.Err() != nil {
		return
	}
	all := make([]*state, len(items))
	for i, it := range items {
		all[i] = it.state
	}
	now := m.now()
	todo := map[string][]item{}
	for _, it := range items {
		if !it.state.Resolved.IsZero() {
			continue
		}
		for name, d := range m.config.duties(it.state.Problem) {
			if _, due := it.state.due(name, d, now, m.config.Settle, false); !due {
				continue
			}
			if _, due := it.state.due(name, d, now, m.config.Settle, m.config.muted(it.state, name, all, now)); due {
				todo[name] = append(todo[name], it)
			}
		}
	}
	for _, l := range m.lines {
		if work := todo[l.sink.Name()]; len(work) > 0 && l.take(now) {
			m.sending.Add(1)
			go m.work(ctx, l, work)
		}
	}
}

// tidy ends the life of problems that are over: told to all, they are remembered
// for a day and then removed, the oldest first where there are too many.
func (m *Manager) tidy(ctx context.Context, items []item) {
	now := m.now()
	all := make([]*state, len(items))
	for i, it := range items {
		all[i] = it.state
	}
	for i, it := range items {
		s := it.state
		var err error
		switch {
		case s.open():
			switch {
			case m.config.outlived(s, all, now):
				err = it.book.clear(ctx, clearance{problem: s.Problem, note: "the system answers", at: now})
			case s.Problem.Code == overflow:
				if now.Sub(s.Last) >= overflowRest {
					err = it.book.clear(ctx, clearance{problem: s.Problem, note: "no more problems than are held apart", at: now})
				}
			case s.rested(now):
				err = it.book.clear(ctx, clearance{problem: s.Problem, note: "it has not happened again for " + round(now.Sub(s.Last)), at: now})
			}
		case s.Resolved.IsZero():
			if m.settled(s, all, now) {
				_, err = it.book.update(ctx, s.fingerprint, func(s *state) bool {
					if !m.settled(s, all, now) {
						return false
					}
					s.Resolved = now
					return true
				})
			}
		case now.Sub(s.Resolved) >= remember || i < len(items)-2*m.config.MaxOpen:
			err = it.book.store.DeleteProblem(ctx, s.fingerprint, s.seq)
			if errors.Is(err, ErrStale) {
				err = nil // it began again
			}
		}
		if err != nil && ctx.Err() == nil {
			m.storeFailed(ctx, err, now)
		}
	}
}

// settled reports whether the problem is over and no sink is owed anything.
func (m *Manager) settled(s *state, all []*state, now time.Time) bool {
	if !s.over(now, m.config.Settle) {
		return false
	}
	for name, d := range m.config.duties(s.Problem) {
		if _, due := s.due(name, d, now, m.config.Settle, m.config.muted(s, name, all, now)); due {
			return false
		}
	}
	return true
}
