package outbox

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/tectari/dovetail"
)

// A relay delivers messages while Run runs. One goroutine, the loop, does all
// reading and writing of the store, in turns: write results, renew leases, read.
// So whatever the memory says about a key is newer than what a read says. The
// workers run handlers and change the memory under mu; a worker goes on to the
// next message by itself.
type relay struct {
	q       *Queue
	nudges  chan struct{} // wakes the loop
	hint    atomic.Bool   // something was committed: read now
	asked   atomic.Bool   // with hint: what is parked, too
	reports *reporter

	mu       sync.Mutex
	lines    map[string]*line
	order    []*line
	memory   map[int64]*item
	drains   map[*lane]*line // lanes whose Behind entries are to be read
	pending  batch
	stopping bool
	lost     bool // the lease: wait for the workers and begin anew
	active   int
	leaseEnd time.Time
	leased   context.Context //nolint:containedctx // ends with the lease; workers begun under it share its end
	unlease  context.CancelFunc
	guardian *time.Timer
	workers  sync.WaitGroup

	// Of the loop alone.
	id         string
	registered bool
	base       context.Context //nolint:containedctx // Run's, for one run of the relay
	head       Position
	headMore   bool
	nextRead   time.Time
	nextDue    time.Time
	poll       time.Duration
	nextLease  time.Time
	nextForget time.Time
	nextAudit  time.Time
	nextSeen   time.Time
	missing    map[int64]bool // by the last audit
	spare      batch          // written; its room is used again
	slab       []item         // room for what is read next
	troubles   int            // failures of the store in a row
}

// Run delivers messages until ctx is done; then it lets the deliveries under way
// end, writes their results, gives its leases back and returns nil. It leaves no
// goroutine. It returns ErrRunning when the queue runs already. Trouble with the
// store does not end it: it is reported and the work goes on afterwards.
func (q *Queue) Run(ctx context.Context) error {
	q.mu.Lock()
	if q.running {
		q.mu.Unlock()
		return fmt.Errorf("run: %w", ErrRunning)
	}
	q.running = true
	q.mu.Unlock()
	defer func() {
		q.mu.Lock()
		q.running = false
		q.mu.Unlock()
	}()
	r := newRelay(context.WithoutCancel(ctx), q)
	q.relay.Store(r)
	defer q.relay.Store(nil)
	var side sync.WaitGroup
	sideCtx, endSide := context.WithCancel(r.base)
	side.Go(func() { r.reports.run(sideCtx) })
	side.Go(func() { r.listen(sideCtx) })
	stop := context.AfterFunc(ctx, r.stop)
	defer stop()

	r.loop(ctx)

	r.workers.Wait()
	r.goodbye()
	endSide()
	side.Wait()
	return nil
}

func newRelay(base context.Context, q *Queue) *relay {
	r := &relay{
		q: q, base: base, nudges: make(chan struct{}, 1), reports: newReporter(q),
		lines: map[string]*line{}, memory: map[int64]*item{}, drains: map[*lane]*line{},
		poll: q.config.PollMin, nextAudit: time.Now().Add(q.auditPace()),
	}
	for _, name := range q.names() {
		if d, _ := q.destination(name); d.served() {
			l := &line{Destination: d, lanes: map[string]*lane{}, pacer: newPacer(d), window: newWindow(d)}
			r.lines[name] = l
			r.order = append(r.order, l)
		}
	}
	r.leased, r.unlease = context.WithCancel(base)
	return r
}

// stop lets no new delivery begin.
func (r *relay) stop() {
	r.mu.Lock()
	r.stopping = true
	r.mu.Unlock()
	r.nudge()
}

// nudge wakes the loop.
func (r *relay) nudge() {
	select {
	case r.nudges <- struct{}{}:
	default: // it is awake already
	}
}

// loop is the one goroutine that talks to the store.
func (r *relay) loop(ctx context.Context) {
	for {
		err := r.flush()
		if err == nil && len(r.order) > 0 {
			err = r.keepLease()
		}
		if err == nil && ctx.Err() == nil {
			err = r.read()
		}
		if err == nil && ctx.Err() == nil {
			err = r.audit()
		}
		if err == nil && ctx.Err() == nil {
			err = r.forgetSeen()
		}
		wait := r.next()
		if err != nil {
			wait = r.trouble(err)
		} else {
			r.troubles = 0
		}
		if ctx.Err() != nil && r.finished() {
			return
		}
		r.start()
		if wait <= 0 {
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-r.nudges:
		}
		timer.Stop()
	}
}

// trouble reports a failure of the store and returns how long to wait.
func (r *relay) trouble(err error) time.Duration {
	r.troubles++
	r.q.observer.Record(r.base, dovetail.Event{
		Name: "outbox.relay", Time: time.Now(), Outcome: "store failed", Err: err, Class: dovetail.Classify(err),
	})
	return Backoff{Base: 50 * time.Millisecond, Cap: min(5*time.Second, r.q.config.Lease/4)}.wait(r.troubles)
}

// finished reports whether all is done that was under way when the relay was told
// to stop. While the store fails, results are kept until the lease is over:
// after that others deliver those messages again.
func (r *relay) finished() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.active > 0 {
		return false
	}
	return r.pending.empty() || time.Now().After(r.leaseEnd)
}

// next returns how long the loop may sleep.
func (r *relay) next() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	until := r.nextLease
	sooner := func(t time.Time) {
		if until.IsZero() || t.Before(until) {
			until = t
		}
	}
	if len(r.order) == 0 {
		sooner(now.Add(time.Minute))
	}
	if !r.stopping && !r.lost {
		if len(r.order) > 0 {
			sooner(r.nextRead)
		}
		if r.q.inbox != nil {
			sooner(r.nextSeen)
		}
		for _, l := range r.order {
			if at, waits := l.due(now); waits {
				sooner(at)
			}
			if l.more && l.readable() {
				return 0
			}
			if r.headMore && l.live && !l.full() && !l.idle() {
				return 0
			}
		}
		if r.hint.Load() {
			return 0
		}
	}
	return max(until.Sub(now), time.Millisecond)
}

// down says whether a destination is down, since when and why.
func (r *relay) down(name string) (bool, time.Time, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.lines[name]; l != nil && l.down {
		return true, l.since, l.why
	}
	return false, time.Time{}, ""
}

// answered says when a destination's last outage ended, zero if it had none.
func (r *relay) answered(name string) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.lines[name]; l != nil {
		return l.answered
	}
	return time.Time{}
}

// operated takes note of what a person did in this process, sooner than the next
// look at the store would.
func (r *relay) operated(op Operation) {
	r.mu.Lock()
	if l := r.lines[op.Destination]; l != nil {
		switch op.Action {
		case PauseAction:
			l.pause = &Pause{Who: op.Who, Why: op.Why, At: time.Now()}
		case ResumeAction:
			l.pause = nil
		}
	}
	r.mu.Unlock()
	r.asked.Store(true)
	r.hint.Store(true)
	r.nudge()
}

// newID names a relay. A relay that lost its lease begins anew under another
// name, so that nothing it still does can be taken for the new one's.
func newID() string { return uuid.NewString() }
