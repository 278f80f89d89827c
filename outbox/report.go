package outbox

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
)

// A reporter tells alerts from a goroutine of its own, so that no delivery waits
// for them, and looks now and then for what is stuck. A report that fails is
// told again until it succeeds.
type reporter struct {
	q     *Queue
	nudge chan struct{}

	mu   sync.Mutex
	list []*notice
}

// A notice is a report, or that a problem recovers, or its end.
type notice struct {
	problem alert.Problem
	kind    noticeKind
	note    string
}

type noticeKind uint8

const (
	begins noticeKind = iota
	recovers
	ends
)

// maxNotices bounds the causes that wait to be told; more are an event only.
const maxNotices = 1000

func newReporter(q *Queue) *reporter {
	return &reporter{q: q, nudge: make(chan struct{}, 1)}
}

// report tells a problem, together with others of its cause that wait.
func (r *reporter) report(p alert.Problem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	print := p.Fingerprint()
	for _, n := range slices.Backward(r.list) {
		if n.problem.Fingerprint() != print {
			continue
		}
		if n.kind != begins {
			break
		}
		n.problem.Count += p.Count
		if p.Rule == alert.DeadLetter || p.Rule == alert.InDoubt {
			n.problem.Waiting += p.Waiting // each stands for itself; elsewhere it is how many there are
		}
		return
	}
	r.add(&notice{problem: p})
}

// recovering tells that the cause of a problem is gone.
func (r *reporter) recovering(p alert.Problem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(&notice{problem: p, kind: recovers})
}

// clear tells that a problem is over.
func (r *reporter) clear(p alert.Problem, note string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(&notice{problem: p, kind: ends, note: note})
}

func (r *reporter) add(n *notice) {
	if len(r.list) >= maxNotices {
		r.q.observer.Record(context.Background(), dovetail.Event{
			Name: "outbox.alert", Time: time.Now(), Destination: n.problem.Destination, Outcome: "dropped",
			Why: "too many causes wait to be told", Err: errNotTold, Class: n.problem.Class,
		})
		return
	}
	r.list = append(r.list, n)
	select {
	case r.nudge <- struct{}{}:
	default:
	}
}

var errNotTold = errors.New("outbox: alert not told")

// farewell is how long the last alerts may take when the relay ends.
const farewell = 5 * time.Second

// run tells until ctx is done, and then what is left.
func (r *reporter) run(ctx context.Context) {
	look := time.NewTimer(r.q.watchEvery())
	defer look.Stop()
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
			defer cancel()
			_ = r.tell(last) // told in an event each
			return
		case <-look.C:
			r.q.look(ctx)
			look.Reset(r.q.watchEvery())
		case <-again.C:
		case <-r.nudge:
		}
		if !r.tell(ctx) {
			again.Reset(time.Second)
		}
	}
}

// tell tells what waits, in order, and reports whether all of it was told.
func (r *reporter) tell(ctx context.Context) bool {
	for {
		r.mu.Lock()
		if len(r.list) == 0 {
			r.mu.Unlock()
			return true
		}
		n := r.list[0]
		r.list = r.list[1:]
		r.mu.Unlock()
		err := r.q.tellOne(ctx, n)
		if err == nil {
			continue
		}
		r.mu.Lock()
		r.list = append([]*notice{n}, r.list...)
		r.mu.Unlock()
		if ctx.Err() == nil {
			r.q.observer.Record(ctx, dovetail.Event{
				Name: "outbox.alert", Time: time.Now(), Destination: n.problem.Destination, Outcome: "failed", Err: err, Class: dovetail.Classify(err),
			})
		}
		return false
	}
}

// tellOne tells one notice, within watchTimeout.
func (q *Queue) tellOne(ctx context.Context, n *notice) error {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	switch n.kind {
	case recovers:
		return q.alerts.Recovering(ctx, n.problem)
	case ends:
		return q.alerts.Clear(ctx, n.problem, n.note)
	default:
		return q.alerts.Report(ctx, n.problem)
	}
}
