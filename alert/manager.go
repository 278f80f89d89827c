package alert

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/tectari/dovetail"
)

// ErrNotFound is returned by Ack for a fingerprint that is not open.
var ErrNotFound = errors.New("alert: no open problem has this fingerprint")

// A Manager turns reports into notifications. Make one with New. It is safe for
// concurrent use.
type Manager struct {
	config   Config
	observer dovetail.Observer
	holder   string // who we are to the lease
	main     *book
	spare    *book // in memory, for when main's store fails; nil when main is in memory
	lines    []*line
	leased   atomic.Int64 // until when we may send from main, in Unix nanoseconds
	sending  sync.WaitGroup
	// complained is when the observer was last told of the store.
	complained atomic.Int64

	clock struct {
		sync.Mutex
		last time.Time
	}
}

// New returns a manager, or dovetail.Faults with everything that is wrong with c.
// It refuses a configuration in which a critical problem of some rule would reach
// no person, and names the rules.
func New(c Config) (*Manager, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	c.Settle = orDefault(c.Settle, defaultSettle)
	if c.MaxOpen == 0 {
		c.MaxOpen = defaultMaxOpen
	}
	m := &Manager{config: c, observer: dovetail.ObserverOr(c.Observer), holder: uuid.NewString()}
	if c.Store == nil {
		m.main = newBook(newMemory(), c.MaxOpen)
	} else {
		m.main = newBook(c.Store, c.MaxOpen)
		m.spare = newBook(newMemory(), c.MaxOpen)
	}
	for _, r := range c.Routes {
		for _, s := range slices.Concat(r.To, r.Then) {
			if !slices.ContainsFunc(m.lines, func(l *line) bool { return l.sink.Name() == s.Name() }) {
				m.lines = append(m.lines, &line{sink: s})
			}
		}
	}
	return m, nil
}

// now returns the time, later than it ever returned, so that the order of a
// report and a clear is never in doubt.
func (m *Manager) now() time.Time {
	m.clock.Lock()
	defer m.clock.Unlock()
	t := time.Now().Round(0) // as it will be read back from a store
	if !t.After(m.clock.last) {
		t = m.clock.last.Add(1)
	}
	m.clock.last = t
	return t
}

// Report says that p happened. It groups by fingerprint and never waits for a
// sink: the first report of a problem, and every 5 s one more, writes to the
// Store; the others cost a map access. Where the Store fails, the problem is held
// and told by this process alone, and the failure goes to the Observer. It
// returns ctx's error if ctx was done first, and nil otherwise.
func (m *Manager) Report(ctx context.Context, p Problem) error {
	now := m.now()
	p = p.filled(now)
	err := m.main.report(ctx, p, now)
	if err == nil {
		return nil
	}
	m.storeFailed(ctx, err, now)
	// The store is part of what may be broken; a person is told all the same.
	if m.spare != nil {
		_ = m.spare.report(context.WithoutCancel(ctx), p, now) // memory does not fail
	}
	return ctx.Err()
}

// Clear says that p is over: it ends the open problems with p's Rule, Link,
// System and Destination, and with its Operation, Class, Code and Field as far as
// p sets them; empty means any. note is told with the end: "caught up". Where
// nothing is open it costs little and does nothing. It returns ctx's error if ctx
// was done first, and nil otherwise; a Store that fails is asked again by Run.
// p.Waiting, if set, is how much was caught up.
func (m *Manager) Clear(ctx context.Context, p Problem, note string) error {
	now := m.now()
	return m.clear(ctx, clearance{problem: p.filled(now), at: now, note: note})
}

// Recovering says that the cause of p is gone, while what it held up is still
// being caught up: whom nobody told of p yet is not told any more that it began,
// and the end is told once Clear says what became of the rest. A Report of p
// takes it back. It covers the problems that Clear would, and returns the same.
func (m *Manager) Recovering(ctx context.Context, p Problem) error {
	now := m.now()
	return m.clear(ctx, clearance{problem: p.filled(now), at: now, recovering: true})
}

func (m *Manager) clear(ctx context.Context, c clearance) error {
	if m.spare != nil {
		_ = m.spare.clear(ctx, c) // memory does not fail
	}
	if err := m.main.clear(ctx, c); err != nil {
		m.storeFailed(ctx, err, c.at)
		return ctx.Err()
	}
	return nil
}

// storeFailed makes a failing store a problem of its own, in memory, and tells
// the observer once a minute.
func (m *Manager) storeFailed(ctx context.Context, err error, now time.Time) {
	if last := m.complained.Load(); now.UnixNano()-last >= int64(time.Minute) && m.complained.CompareAndSwap(last, now.UnixNano()) {
		m.observer.Record(ctx, dovetail.Event{Name: "alert.store", Time: now, Outcome: "failed", Err: err, Class: dovetail.Classify(err)})
	}
	if m.spare == nil || ctx.Err() != nil {
		return
	}
	p := Problem{Rule: AlertPath, Code: "store", Title: "the store of problems fails",
		Why: "until it does, each process tells of its problems by itself: " + err.Error(), Hint: "Repair the database that holds the problems."}
	_ = m.spare.report(ctx, p.filled(now), now) // memory does not fail
}

// Ack notes that a person took the problem: it is neither repeated nor escalated
// until it is over. It returns ErrNotFound if no open problem has the
// fingerprint.
func (m *Manager) Ack(ctx context.Context, fingerprint, by string) error {
	for _, b := range m.books() {
		found := false
		_, err := b.update(ctx, fingerprint, func(s *state) bool {
			found = s.open()
			s.AckedBy = clean(by, maxName)
			return found
		})
		if err != nil {
			return fmt.Errorf("alert: ack %s: %w", fingerprint, err)
		}
		if found {
			return b.sync(ctx, m.now())
		}
	}
	return ErrNotFound
}

// Open returns the problems that are open, oldest first, or the error of the Store.
// A stored problem that cannot be read is left out; Run tells of it.
func (m *Manager) Open(ctx context.Context) ([]Notification, error) {
	var open []Notification
	for _, b := range m.books() {
		err := b.sync(ctx, m.now())
		if _, unreadable := errors.AsType[*unreadableError](err); err != nil && !unreadable {
			return nil, err
		}
		for _, s := range b.states() {
			if s.open() {
				open = append(open, s.notification(Firing, ""))
			}
		}
	}
	slices.SortFunc(open, func(a, b Notification) int {
		if c := a.First.Compare(b.First); c != 0 {
			return c
		}
		return strings.Compare(a.Fingerprint, b.Fingerprint)
	})
	return open, nil
}

func (m *Manager) books() []*book {
	if m.spare == nil {
		return []*book{m.main}
	}
	return []*book{m.main, m.spare}
}

// Test sends one notification with the state Trial through every sink at once,
// and waits. It returns the errors of all sinks that did not take it, by name.
func (m *Manager) Test(ctx context.Context) error {
	now := m.now()
	p := Problem{Rule: AlertPath, Severity: Info, Title: "test of the alert path", Why: "somebody asked for a test",
		Hint: "Nothing to do. If you read this, this sink works."}.filled(now)
	n := Notification{ID: "test/" + uuid.NewString(), State: Trial, Problem: p, Fingerprint: p.Fingerprint(), First: now, Last: now, Count: 1, Generation: 1}
	errs := make([]error, len(m.lines))
	var wg sync.WaitGroup
	for i, l := range m.lines {
		wg.Go(func() {
			if err := l.send(ctx, n); err != nil {
				errs[i] = fmt.Errorf("alert: test sink %s: %w", l.sink.Name(), err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
