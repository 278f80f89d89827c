package outbox

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tectari/dovetail"
)

// A Bell wakes the relays of other processes after a commit. It is a hint, so it
// may lose rings and ring too often: polling alone is correct. Its methods are
// safe for concurrent use. Module store/pgxstore has one for Postgres.
type Bell interface {
	// Ring tells all who listen that something was committed. It is called after
	// commits, never within a transaction, and at most once every few milliseconds
	// by each process.
	Ring(ctx context.Context) error
	// Listen calls rang after each Ring of any process, this one included. It
	// returns when ctx ends or when it cannot listen any more, and says why.
	Listen(ctx context.Context, rang func()) error
}

const (
	// ringEvery is how often a process rings at most.
	ringEvery = 2 * time.Millisecond
	// bellTest is how often a listener checks that it hears, and bellDeaf how long
	// a ring of its own may take.
	bellTest = 5 * time.Second
	bellDeaf = 2 * time.Second
)

// errDeaf is what a listener is given up for.
var errDeaf = errors.New("outbox: the bell was rung and not heard; behind a pooler in transaction mode it cannot be, leave Config.Bell out there")

// A ringer rings the bell of a queue, at most once every ringEvery.
type ringer struct {
	mu          sync.Mutex
	busy, again bool
	last        time.Time
	broken      bool
}

// ring rings soon, without keeping the caller. Rings that come while one is under
// way or too close to it are one more.
func (q *Queue) ring() {
	if q.config.Bell == nil {
		return
	}
	r := &q.ringer
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy {
		r.again = true
		return
	}
	r.busy = true
	time.AfterFunc(max(0, ringEvery-time.Since(r.last)), q.ringNow)
}

func (q *Queue) ringNow() {
	r := &q.ringer
	q.ringOnce()
	r.mu.Lock()
	again := r.again
	r.busy, r.again, r.last = false, false, time.Now()
	r.mu.Unlock()
	if again {
		q.ring()
	}
}

// ringOnce rings, and reports the first failure of several.
func (q *Queue) ringOnce() {
	ctx, cancel := context.WithTimeout(context.Background(), bellDeaf)
	defer cancel()
	err := q.config.Bell.Ring(ctx)
	q.ringer.mu.Lock()
	was := q.ringer.broken
	q.ringer.broken = err != nil
	q.ringer.mu.Unlock()
	if err != nil && !was {
		q.observer.Record(ctx, dovetail.Event{
			Name: "outbox.bell", Time: time.Now(), Outcome: "failed", Err: err, Class: dovetail.Classify(err),
			Why: "other relays find what is new by polling",
		})
	}
}

// listen wakes the relay when the bell rings, until ctx ends.
func (r *relay) listen(ctx context.Context) {
	bell := r.q.config.Bell
	if bell == nil {
		return
	}
	told := false
	for failures := 1; ctx.Err() == nil; failures++ {
		began := time.Now()
		err := r.hear(ctx, bell)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > 2*bellTest { // it worked for a while
			failures, told = 1, false
		}
		if !told {
			told = true
			r.q.observer.Record(ctx, dovetail.Event{
				Name: "outbox.bell", Time: time.Now(), Outcome: "deaf", Err: err, Class: dovetail.Transient,
				Why: "this relay finds what is new by polling",
			})
		}
		timer := time.NewTimer(Backoff{Base: time.Second, Cap: time.Minute}.wait(failures))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// hear listens until the bell fails, or does not pass on what it was rung.
func (r *relay) hear(ctx context.Context, bell Bell) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	heard := make(chan struct{}, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.testBell(ctx, bell, heard, cancel)
	}()
	err := bell.Listen(ctx, func() {
		select {
		case heard <- struct{}{}:
		default: // the test has not looked yet
		}
		r.hint.Store(true)
		r.nudge()
	})
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	cancel(nil)
	<-ended
	if err == nil {
		err = errors.New("outbox: the bell stopped listening")
	}
	return err
}

// testBell rings now and then and gives the listener up when it does not hear.
func (r *relay) testBell(ctx context.Context, bell Bell, heard <-chan struct{}, giveUp context.CancelCauseFunc) {
	for {
		select {
		case <-heard: // whatever was heard before proves nothing now
		default:
		}
		test, done := context.WithTimeout(ctx, bellDeaf)
		err := bell.Ring(test)
		if err == nil {
			select {
			case <-heard:
			case <-test.Done():
				err = errDeaf
			}
		}
		done()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			giveUp(err)
			return
		}
		timer := time.NewTimer(bellTest)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}
