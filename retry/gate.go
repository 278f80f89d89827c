package retry

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// gate is what every attempt passes: the pause that the API asked for, the
// breaker, the quotas and the smoothing. All are looked at and taken under one
// lock, so that a request takes from all of them or from none. Callers pass in
// the order in which they came.
type gate struct {
	start time.Time

	mu      sync.Mutex
	windows []*window
	slots   []slots
	smooth  *rate.Limiter
	paused  time.Duration // nothing goes before
	breaker breaker
	queue   []*waiter
	latency time.Duration // of an attempt, moving mean
}

// slots is a Concurrency quota.
type slots struct{ max, used int }

// waiter is a call that waits for its turn. Its wake says: look again.
type waiter struct {
	wake chan struct{}
	safe bool
}

// permit is what a request took. It is settled once the answer is here, and its
// slots are released when the body is done with.
type permit struct {
	gen uint32
}

// cause says what holds a call back.
type cause string

const (
	byNothing  cause = ""
	byPause    cause = "the API asked to wait"
	byBreaker  cause = "the system is down"
	byQuota    cause = "the quota is used up"
	bySlots    cause = "too many requests are on their way"
	byDeadline cause = "the wait does not fit the deadline"
)

func newGate(cfg Config) *gate {
	g := &gate{start: time.Now(), breaker: newBreaker(cfg.Breaker)}
	for _, q := range cfg.Quotas {
		switch q := q.(type) {
		case Window:
			g.windows = append(g.windows, newWindow(q))
		case Concurrency:
			g.slots = append(g.slots, slots{max: q.Max})
		}
	}
	if cfg.Rate > 0 {
		g.smooth = rate.NewLimiter(cfg.Rate, cfg.Burst)
	}
	return g
}

func (g *gate) now() time.Duration { return time.Since(g.start) }

// when returns the earliest time at which a call with ahead others before it may
// go, what holds it back most, and whether that depends on an answer that is
// still on its way.
func (g *gate) when(now time.Duration, ahead int) (at time.Duration, why cause, blocked bool) {
	at = now
	later := func(t time.Duration, c cause) {
		if t > at {
			at, why = t, c
		}
	}
	later(g.paused, byPause)
	t, waits := g.breaker.when(now)
	later(t, byBreaker)
	if waits {
		blocked, why = true, byBreaker
	}
	for _, w := range g.windows {
		w.advance(now)
		later(w.when(now, ahead), byQuota)
	}
	for i := range g.slots {
		if s := &g.slots[i]; s.used >= s.max {
			blocked = true
			if why == byNothing {
				why = bySlots
			}
		}
	}
	if g.smooth != nil {
		if lack := float64(ahead+1) - g.smooth.TokensAt(g.start.Add(now)); lack > 0 {
			later(now+max(time.Microsecond, time.Duration(lack/float64(g.smooth.Limit())*float64(time.Second))), byQuota)
		}
	}
	return at, why, blocked
}

// take takes from everything; when said that there is room.
func (g *gate) take(now time.Duration) permit {
	for _, w := range g.windows {
		w.take()
	}
	for i := range g.slots {
		g.slots[i].used++
	}
	if g.smooth != nil {
		g.smooth.AllowN(g.start.Add(now), 1)
	}
	return permit{gen: g.breaker.take()}
}

// refusal is why a call was not let through, and when to come again.
type refusal struct {
	why cause
	at  time.Time
	err error // of the context, if that ended the wait
}

// admit lets a call through at its turn, or refuses it once it is known that its
// turn will not come within limit or before its deadline. waited is how long it
// took.
func (g *gate) admit(ctx context.Context, limit time.Duration, safe bool) (p permit, waited time.Duration, no *refusal) {
	g.mu.Lock()
	now := g.now()
	if len(g.queue) == 0 {
		if at, _, blocked := g.when(now, 0); at <= now && !blocked {
			p = g.take(now)
			g.mu.Unlock()
			return p, 0, nil
		}
	}
	w := &waiter{wake: make(chan struct{}, 1), safe: safe}
	g.queue = append(g.queue, w)
	g.mu.Unlock()
	p, no = g.wait(ctx, w, now+limit)
	return p, g.now() - now, no
}

// wait waits for w's turn until end.
func (g *gate) wait(ctx context.Context, w *waiter, end time.Duration) (permit, *refusal) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		g.mu.Lock()
		now := g.now()
		ahead := slices.Index(g.queue, w)
		at, why, blocked := g.when(now, ahead)
		if ahead == 0 && at <= now && !blocked && !g.yield(w) {
			p := g.take(now)
			g.leave(w)
			g.mu.Unlock()
			return p, nil
		}
		no := g.refuse(ctx, now, at, end, why)
		if no != nil {
			g.leave(w)
			g.mu.Unlock()
			return permit{}, no
		}
		g.mu.Unlock()
		next := end
		if ahead == 0 && at > now {
			next = min(at, end)
		}
		timer.Reset(next - now)
		select {
		case <-w.wake:
		case <-timer.C:
		case <-ctx.Done():
			g.mu.Lock()
			g.leave(w)
			g.mu.Unlock()
			return permit{}, &refusal{why: why, at: g.start.Add(max(at, now)), err: context.Cause(ctx)}
		}
	}
}

// refuse says why a call that may go at the earliest at need not wait.
func (g *gate) refuse(ctx context.Context, now, at, end time.Duration, why cause) *refusal {
	if at > end || now >= end {
		if at <= now { // depends on an answer: nobody knows
			at = now + max(g.latency, time.Second)
		}
		return &refusal{why: why, at: g.start.Add(at)}
	}
	if d, ok := ctx.Deadline(); ok && at > now && g.start.Add(at+g.latency).After(d) {
		return &refusal{why: why, at: g.start.Add(at), err: context.DeadlineExceeded}
	}
	return nil
}

// yield hands the turn of w to a call that may be repeated, if w would be the
// probe of a system that is down and may not.
func (g *gate) yield(w *waiter) bool {
	if g.breaker.phase != open || w.safe {
		return false
	}
	i := slices.IndexFunc(g.queue, func(o *waiter) bool { return o.safe })
	if i < 0 {
		return false
	}
	o := g.queue[i]
	g.queue = slices.Insert(slices.Delete(g.queue, i, i+1), 0, o)
	o.wakeUp()
	return true
}

// leave takes w out of the queue and has the new head look.
func (g *gate) leave(w *waiter) {
	if i := slices.Index(g.queue, w); i >= 0 {
		g.queue = slices.Delete(g.queue, i, i+1)
	}
	g.wakeHead()
}

func (g *gate) wakeHead() {
	if len(g.queue) > 0 {
		g.queue[0].wakeUp()
	}
}

func (w *waiter) wakeUp() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// settle says how an attempt ended: whether the API can have counted it, how the
// API seems, and how long it asked everybody to wait (zero: it did not). It
// returns the breaker's phase before and after.
func (g *gate) settle(p permit, counted bool, h health, pause, took time.Duration) (was, is phase) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	for _, w := range g.windows {
		w.advance(now)
		w.settle(now, counted)
	}
	was = g.breaker.phase
	g.breaker.settle(now, p.gen, h)
	if pause > 0 {
		g.paused = max(g.paused, now+pause)
		g.breaker.slow()
	}
	is = g.breaker.phase
	if counted && h == well {
		g.latency += (took - g.latency) / 8
	}
	if pause > 0 || (is == open && was != open) {
		for _, w := range g.queue { // some cannot wait that long
			w.wakeUp()
		}
	} else {
		g.wakeHead()
	}
	return was, is
}

// release gives back the concurrency slots of a request whose body is done with.
func (g *gate) release() {
	if len(g.slots) == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.slots {
		g.slots[i].used--
	}
	g.wakeHead()
}

// probe lets the next call through an open breaker, and reports whether it was open.
func (g *gate) probe() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.breaker.phase != open {
		return false
	}
	g.breaker.until = min(g.breaker.until, g.now())
	g.wakeHead()
	return true
}

// down reports whether the breaker holds calls back, and until when.
func (g *gate) down() (time.Time, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.start.Add(g.breaker.until), g.breaker.phase == open || g.breaker.phase == probing
}
