package alert

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// The clockwork of a book and a manager.
const (
	// flushEvery is how long reports of a known problem are tallied in memory.
	flushEvery = 5 * time.Second
	// remember is how long a problem that is over is kept, so that one that comes
	// back says so.
	remember = 24 * time.Hour
	// maxClears bounds the clears that wait for the next look at the store.
	maxClears = 1000
	// overflow is the code of the problem that stands for those beyond MaxOpen.
	overflow = "overflow"
)

// A book is the problems of one Store, with what is tallied in memory. It is safe
// for concurrent use. Its lock is never held over I/O.
type book struct {
	store   Store
	maxOpen int

	mu     sync.Mutex
	known  map[string]*entry
	nOpen  int
	writes int64
	clears map[string]clearance
	synced time.Time
}

// entry is one problem as last seen in the store, and what was reported since.
// A state is never changed once it is in an entry.
type entry struct {
	state   *state // nil: not in the store
	tally   tally
	flushed time.Time
	wrote   int64 // book.writes at its last write
	writing bool
}

// clearance is a Clear, or a Recovering, that is to be applied.
type clearance struct {
	problem    Problem
	at         time.Time
	note       string
	recovering bool
}

// key is what a later clearance of the same kind replaces it by.
func (c clearance) key() string {
	if c.recovering {
		return "recovering " + c.problem.Fingerprint()
	}
	return c.problem.Fingerprint()
}

func newBook(s Store, maxOpen int) *book {
	return &book{store: s, maxOpen: maxOpen, known: map[string]*entry{}, clears: map[string]clearance{}}
}

// report tallies p, and writes the tally unless it may wait.
func (b *book) report(ctx context.Context, p Problem, now time.Time) error {
	fp := p.Fingerprint()
	b.mu.Lock()
	e := b.known[fp]
	if e == nil {
		if b.nOpen >= b.maxOpen && p.Code != overflow {
			b.mu.Unlock()
			return b.report(ctx, folded(p), now)
		}
		e = &entry{}
		b.known[fp] = e
		b.nOpen++
	}
	e.tally.add(p, now)
	known := e.state != nil && e.state.open() && p.Severity <= e.state.Problem.Severity
	if e.writing || (known && now.Sub(e.flushed) < flushEvery) {
		b.mu.Unlock()
		return nil
	}
	e.writing = true
	b.mu.Unlock()
	return b.flush(ctx, fp, e, now)
}

// folded is the problem that p becomes when there are too many: one per rule of
// the library, and one for all others.
func folded(p Problem) Problem {
	q := Problem{Rule: p.Rule, Severity: p.Severity, Code: overflow, Sample: p.Sample, Count: p.Count, At: p.At,
		Title: "too many different problems",
		Why:   "more problems are open than Config.MaxOpen; this one stands for the rest of its rule",
		Hint:  "Mend what the other problems say. If they are one cause, report it with fewer different codes and operations."}
	if !p.Rule.known() {
		q.Rule = AlertPath
	}
	return q
}

// flush writes the tally of an entry whose writing mark the caller has set.
func (b *book) flush(ctx context.Context, fp string, e *entry, now time.Time) error {
	b.mu.Lock()
	t := e.tally
	e.tally = tally{}
	b.mu.Unlock()
	var s *state
	var err error
	if t.count > 0 {
		s, err = b.update(ctx, fp, func(s *state) bool { s.report(t); return true })
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	e.writing = false
	if err != nil {
		e.tally.merge(t)
		return fmt.Errorf("alert: report %s: %w", t.latest.Rule, err)
	}
	e.flushed = now
	if s != nil {
		b.writes++
		e.state, e.wrote = s, b.writes
	}
	return nil
}

// update changes one problem in the store, again when another writer was faster.
// fn returns false to leave it as it is. It returns the state as stored.
func (b *book) update(ctx context.Context, fp string, fn func(*state) bool) (*state, error) {
	for range 20 {
		s := &state{fingerprint: fp}
		r, ok, err := b.store.LoadProblem(ctx, fp)
		if err != nil {
			return nil, err
		}
		if ok {
			if s, err = decode(r); err != nil {
				return nil, err
			}
		}
		if !fn(s) {
			return s, nil
		}
		row, err := s.row()
		if err != nil {
			return nil, err
		}
		err = b.store.SaveProblem(ctx, row)
		if err == nil {
			s.seq, s.body = s.seq+1, row.Body
			return s, nil
		}
		if !errors.Is(err, ErrStale) {
			return nil, err
		}
	}
	return nil, ErrStale
}

// clear applies c to every open problem that it covers. Where none is known, and the store
// was looked at lately, it is kept for the next look: another process may have
// reported a problem meanwhile.
func (b *book) clear(ctx context.Context, c clearance) error {
	b.mu.Lock()
	match := false
	for _, e := range b.known {
		if e.covered(c.problem) {
			match = true
			break
		}
	}
	fresh := !b.synced.IsZero() && c.at.Sub(b.synced) < flushEvery
	b.clears[c.key()] = c
	wait := !match && fresh && len(b.clears) < maxClears
	b.mu.Unlock()
	if wait {
		return nil
	}
	return b.sync(ctx, c.at)
}

func (e *entry) covered(p Problem) bool {
	return (e.state != nil && e.state.open() && p.covers(e.state.Problem)) || (e.tally.count > 0 && p.covers(e.tally.latest))
}

// sync writes what is tallied, looks at the store, and applies the clears.
func (b *book) sync(ctx context.Context, now time.Time) error {
	b.mu.Lock()
	clears := slices.Collect(maps.Values(b.clears))
	clear(b.clears)
	var dirty []string
	for fp, e := range b.known {
		if e.tally.count > 0 && !e.writing {
			e.writing = true
			dirty = append(dirty, fp)
		}
	}
	entries := make([]*entry, len(dirty))
	for i, fp := range dirty {
		entries[i] = b.known[fp]
	}
	b.mu.Unlock()

	slices.SortFunc(clears, func(a, b clearance) int { return a.at.Compare(b.at) })
	var errs []error
	for i, fp := range dirty {
		errs = append(errs, b.flush(ctx, fp, entries[i], now))
	}
	b.mu.Lock()
	began := b.writes
	b.mu.Unlock()
	all, bad, err := b.list(ctx)
	errs = append(errs, err)
	if err == nil {
		for i, s := range all {
			if all[i], err = b.apply(ctx, s, clears); err != nil {
				errs = append(errs, err)
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		b.keep(clears)
		return err
	}
	b.adopt(all, began, now)
	if bad != nil {
		return &unreadableError{err: bad}
	}
	return nil
}

// unreadableError says that some rows could not be read; all else was done.
type unreadableError struct{ err error }

func (e *unreadableError) Error() string { return e.err.Error() }

func (e *unreadableError) Unwrap() error { return e.err }

// apply clears s if one of the clears covers it. The clears are in order of time.
func (b *book) apply(ctx context.Context, s *state, clears []clearance) (*state, error) {
	for _, c := range clears {
		if !s.open() || s.Last.After(c.at) || !c.problem.covers(s.Problem) {
			continue
		}
		n, err := b.update(ctx, s.fingerprint, func(s *state) bool { return s.clear(c) })
		if err != nil {
			return s, fmt.Errorf("alert: clear %s: %w", s.Problem.Rule, err)
		}
		s = n
	}
	return s, nil
}

// keep puts clears back that could not be applied, unless newer ones came.
func (b *book) keep(clears []clearance) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range clears {
		if old, ok := b.clears[c.key()]; !ok || old.at.Before(c.at) {
			b.clears[c.key()] = c
		}
	}
}

// list reads the whole book from the store. Rows that cannot be read are left out
// and are in bad, so that they silence no other.
func (b *book) list(ctx context.Context) (all []*state, bad, err error) {
	const page = 500
	for after := ""; ; {
		rows, err := b.store.ListProblems(ctx, after, page)
		if err != nil {
			return nil, bad, fmt.Errorf("alert: list problems: %w", err)
		}
		for _, r := range rows {
			s := b.cached(r)
			after = r.Fingerprint
			if s == nil {
				if s, err = decode(r); err != nil {
					bad = errors.Join(bad, err)
					continue
				}
			}
			all = append(all, s)
		}
		if len(rows) < page {
			return all, bad, nil
		}
	}
}

// cached returns the state of r if it was read before and has not changed, so
// that a look at the store once a second costs little.
func (b *book) cached(r Row) *state {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.known[r.Fingerprint]; e != nil && e.state != nil && e.state.seq == r.Seq && bytes.Equal(e.state.body, r.Body) {
		return e.state
	}
	return nil
}

// adopt replaces what is known by what the store held, but for what was written
// since the list began or is not written yet.
func (b *book) adopt(all []*state, began int64, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := make(map[string]*entry, len(all))
	for _, s := range all {
		e := b.known[s.fingerprint]
		if e == nil {
			e = &entry{flushed: now}
		}
		if e.wrote <= began {
			e.state = s
		}
		known[s.fingerprint] = e
	}
	for fp, e := range b.known {
		if known[fp] == nil && (e.writing || e.tally.count > 0 || e.wrote > began) {
			known[fp] = e
		}
	}
	b.nOpen = 0
	for _, e := range known {
		if e.state == nil || e.state.Resolved.IsZero() {
			b.nOpen++
		}
	}
	b.known, b.synced = known, now
}

// states returns what is known.
func (b *book) states() []*state {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]*state, 0, len(b.known))
	for _, e := range b.known {
		if e.state != nil {
			all = append(all, e.state)
		}
	}
	return all
}
