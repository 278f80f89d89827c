package outbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
)

// A watch remembers what a queue has told about messages that are stuck.
type watch struct {
	looking atomic.Bool
	last    atomic.Int64 // when a look began, Unix nanoseconds

	mu    sync.Mutex
	stuck map[string]bool // known; absent: not looked yet in this process
}

// watchTimeout bounds a look, and the telling of one alert: a database that does not
// answer must not silence the watch for ever.
const watchTimeout = 30 * time.Second

// watchEvery is how often it is checked whether something is stuck: a quarter of
// the shortest StuckAfter, so that a person is told soon after.
func (q *Queue) watchEvery() time.Duration {
	every := time.Minute
	for _, name := range q.names() {
		d, _ := q.destination(name)
		every = min(every, d.StuckAfter/4)
	}
	return max(every, 100*time.Millisecond)
}

// lookAround is called by whoever enqueues: where no relay runs in this process,
// it checks now and then whether relays elsewhere still do their work. The check
// runs beside the caller, whose transaction may hold what the check would wait
// for; there is never more than one, and it ends within watchTimeout.
func (q *Queue) lookAround(ctx context.Context) {
	if q.relay.Load() != nil {
		return
	}
	now := time.Now().UnixNano()
	last := q.watch.last.Load()
	if last != 0 && now-last < int64(q.watchEvery()) {
		return
	}
	if !q.watch.last.CompareAndSwap(last, now) || !q.watch.looking.CompareAndSwap(false, true) {
		return
	}
	ctx = context.WithoutCancel(ctx)
	go func() {
		defer q.watch.looking.Store(false)
		q.look(ctx)
	}()
}

// look reports what is stuck, and clears what is not any more, within
// watchTimeout.
func (q *Queue) look(parent context.Context) {
	ctx, cancel := context.WithTimeout(parent, watchTimeout)
	defer cancel()
	list, err := q.status(ctx)
	if err != nil {
		if parent.Err() == nil {
			q.observer.Record(parent, dovetail.Event{Name: "outbox.watch", Time: time.Now(), Outcome: "failed", Err: err, Class: dovetail.Classify(err)})
		}
		return
	}
	for _, s := range list {
		d, ok := q.destination(s.Destination)
		if !ok {
			d = Destination{Name: s.Destination}.withDefaults()
		}
		p := alert.Problem{
			Rule: alert.Stuck, System: d.System, Destination: s.Destination,
			Waiting: s.Waiting + s.Parked, Oldest: s.Age, At: time.Now(),
			Why: fmt.Sprintf("the oldest message has waited %s", s.Age.Round(time.Second)),
		}
		if s.Paused != nil {
			p.Why += fmt.Sprintf("; paused by %s: %s", s.Paused.Who, s.Paused.Why)
		}
		err := q.tellStuck(ctx, d, p, s.Age >= d.StuckAfter && s.Age > 0 && !q.catchesUp(d))
		if err != nil && parent.Err() == nil {
			q.observer.Record(parent, dovetail.Event{Name: "outbox.alert", Time: time.Now(), Destination: s.Destination, Outcome: "failed", Err: err, Class: dovetail.Classify(err)})
		}
	}
}

// catchesUp reports whether an outage of the destination ended not long ago: what
// gathered in it is old, as its alert said, and has the time that any message has.
func (q *Queue) catchesUp(d Destination) bool {
	r := q.relay.Load()
	return r != nil && time.Since(r.answered(d.Name)) < d.StuckAfter
}

// tellStuck reports p, or clears it once when it is over. Where nothing waits, no
// delivery will come soon that shows that an outage is over which a process before
// this one has told of; then that is cleared too.
func (q *Queue) tellStuck(ctx context.Context, d Destination, p alert.Problem, stuck bool) error {
	q.watch.mu.Lock()
	was, known := q.watch.stuck[p.Destination]
	q.watch.mu.Unlock()
	switch {
	case stuck:
		if err := q.alerts.Report(ctx, p); err != nil {
			return fmt.Errorf("report %s stuck: %w", p.Destination, err)
		}
	case was || !known: // a process before this one may have reported it
		if err := q.alerts.Clear(ctx, p, "no message waits too long any more"); err != nil {
			return fmt.Errorf("clear %s stuck: %w", p.Destination, err)
		}
		if p.Waiting > 0 {
			break
		}
		err := errors.Join(q.alerts.Clear(ctx, d.problemDown(false), "nothing waits for it"), q.alerts.Clear(ctx, d.problemDown(true), "nothing waits for it"))
		if err != nil {
			return fmt.Errorf("clear %s down: %w", p.Destination, err)
		}
	}
	q.watch.mu.Lock()
	defer q.watch.mu.Unlock()
	if q.watch.stuck == nil {
		q.watch.stuck = map[string]bool{}
	}
	q.watch.stuck[p.Destination] = stuck
	return nil
}

// letterProblem is the problem that dead letters of a cause are part of.
func (q *Queue) letterProblem(c Cause) alert.Problem {
	p := alert.Problem{
		Rule: alert.DeadLetter, System: q.system(c.Destination), Destination: c.Destination,
		Class: c.Class, Code: c.Code, Field: c.Field,
	}
	if c.InDoubt {
		p.Rule = alert.InDoubt
	}
	return p
}
