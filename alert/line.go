package alert

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tectari/dovetail"
)

// sendTimeout bounds one Send of a sink.
const sendTimeout = 10 * time.Second

// A line is one sink with what is known of its health.
type line struct {
	sink Sink

	mu       sync.Mutex
	busy     bool
	since    time.Time // of the Send under way
	failures int
	next     time.Time // not before
	broken   bool      // reported as a problem
	worked   bool      // the last Send did
}

// send calls the sink with a deadline; a panic is an error.
func (l *line) send(ctx context.Context, n Notification) (err error) {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return l.sink.Send(ctx, n)
}

// take marks the line as busy and reports true, unless it is busy or resting.
func (l *line) take(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy || now.Before(l.next) {
		return false
	}
	l.busy, l.since = true, now
	return true
}

func (l *line) free() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy = false
}

// begin notes that a Send begins.
func (l *line) begin(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since = now
}

// result notes how a Send ended. The wait doubles from 1 s to 1 min.
func (l *line) result(now time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.worked = err == nil
	if err == nil {
		l.failures = 0
		return
	}
	l.failures++
	l.next = now.Add(min(time.Second<<min(l.failures-1, 10), time.Minute))
}

// condition reports whether the sink is sick, which is failing twice in a row or
// hanging, whether that is news, and whether the last Send worked.
func (l *line) condition(now time.Time) (sick, news, worked bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sick = l.failures >= 2 || (l.busy && now.Sub(l.since) > 2*sendTimeout)
	news = sick != l.broken
	l.broken = sick
	return sick, news, l.worked && !sick
}

// health makes a line that fails a problem, and its recovery the end of one. Only
// the process that sends clears, since the problem may be an earlier sender's.
func (m *Manager) health(ctx context.Context, now time.Time, leads bool) {
	for _, l := range m.lines {
		sick, news, worked := l.condition(now)
		p := Problem{Rule: AlertPath, Destination: l.sink.Name(), Title: "sink " + l.sink.Name() + " does not take alerts",
			Why: "it failed twice in a row or hangs; what it missed is sent to it once it works"}
		switch {
		case sick && news:
			if m.config.Observer != nil {
				// The log is the last path that is left when every sink fails.
				slog.ErrorContext(ctx, p.Title, "rule", string(p.Rule), "destination", p.Destination, "why", p.Why)
			}
			_ = m.Report(ctx, p) // only ctx's own error
		case worked && leads:
			_ = m.Clear(ctx, p, "the sink works again") // only ctx's own error
		}
	}
}

// item is one problem that one sink must be told of.
type item struct {
	book  *book
	state *state
}

// work sends items through l, one after the other, until one fails.
func (m *Manager) work(ctx context.Context, l *line, items []item) {
	defer m.sending.Done()
	defer l.free()
	for _, it := range items {
		if !m.deliver(ctx, l, it) {
			return
		}
	}
}

// deliver tells l's sink of one problem, if it still must be told. It returns
// false when there is no point in going on.
func (m *Manager) deliver(ctx context.Context, l *line, it item) bool {
	now := m.now()
	if it.book == m.main && m.leased.Load()-now.UnixNano() < int64(sendTimeout+time.Second) {
		return false // another process may be about to send
	}
	name := l.sink.Name()
	row, ok, err := it.book.store.LoadProblem(ctx, it.state.fingerprint)
	if err != nil || !ok {
		return ok || err == nil
	}
	s, err := decode(row)
	if err != nil {
		return true
	}
	d, ok := m.config.duties(s.Problem)[name]
	if !ok {
		return true
	}
	st, ok := s.due(name, d, now, m.config.Settle, false)
	if !ok {
		return true
	}
	event := dovetail.Event{Name: "alert.send", Time: now, Link: s.Problem.Link, System: s.Problem.System, Destination: name, Outcome: string(st)}
	sctx := m.observer.Start(ctx, event)
	l.begin(now)
	err = l.send(sctx, s.notification(st, name))
	end := m.now()
	l.result(end, err)
	event.Duration = end.Sub(now)
	if err != nil {
		event.Outcome, event.Err, event.Class = "failed", fmt.Errorf("alert: send through %s: %w", name, err), dovetail.Classify(err)
	}
	m.observer.Record(sctx, event)
	if err != nil {
		return false
	}
	// Even when Run is told to stop: what was sent must be noted, or it is sent
	// again.
	nctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
	defer cancel()
	if _, err := it.book.update(nctx, s.fingerprint, func(s *state) bool { s.tell(name, st, end); return true }); err != nil {
		m.storeFailed(nctx, err, end)
		return false
	}
	return true
}
