package outbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"time"

	"github.com/tectari/dovetail"
)

// start lets workers begin on whatever may be delivered now.
func (r *relay) start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for _, l := range r.order {
		for {
			c := &call{line: l}
			if !r.take(c, now) {
				break
			}
			ctx := r.leased
			r.workers.Go(func() { r.work(ctx, c) })
		}
	}
}

// A call is what a worker delivers at a time: one message, or a batch. A worker
// uses one call again and again.
type call struct {
	line    *line
	items   []*item
	results []result // of each item
	spans   []context.Context
	said    []saying
}

// A result is what a handler said of a message; stack, where it panicked; local,
// that it was not asked.
type result struct {
	err   error
	class dovetail.Class
	stack string
	local bool
}

// A saying is an event that ends what the observer started.
type saying struct {
	ctx   context.Context //nolint:containedctx // the observer's, from Start to Record
	event dovetail.Event
}

// take fills c with what of its line may be delivered now, as running, and
// reports whether that is anything.
func (r *relay) take(c *call, now time.Time) bool {
	l := c.line
	c.items, c.results, c.spans = c.items[:0], c.results[:0], c.spans[:0]
	most := r.room(l, now)
	for len(c.items) < most {
		it := l.peek(l.down)
		if it == nil || (len(c.items) > 0 && it.Attempts > 0) {
			break
		}
		l.remove(it)
		c.add(it, most)
		if it.Attempts > 0 {
			break // alone: it may be what makes a batch fail
		}
	}
	if len(c.items) == 0 {
		return false
	}
	if l.down {
		l.probing, c.items[0].probe = true, true
	}
	l.spend(now, len(c.items))
	l.active++
	r.active++
	return true
}

// add puts a message into c, and where the destination allows it those that come
// next in its lane.
func (c *call) add(it *item, most int) {
	it.stage = running
	c.items = append(c.items, it)
	ln := it.lane
	if ln == nil {
		return
	}
	ln.running, ln.flying = it, 1
	if len(ln.queue) > 0 && ln.queue[0] == it {
		ln.shift()
	}
	if !c.line.AllowSameKey || it.Attempts > 0 {
		return
	}
	for len(c.items) < most && len(ln.queue) > 0 && ln.queue[0].Attempts == 0 {
		next := ln.shift()
		next.stage, next.follows = running, true
		ln.flying++
		c.items = append(c.items, next)
	}
}

// room returns how many messages a call of the line may hold now.
func (r *relay) room(l *line, now time.Time) int {
	if r.stopping || r.lost || l.pause != nil || now.Before(l.limitedUntil) || !now.Before(r.leaseEnd.Add(-r.margin())) {
		return 0
	}
	if l.down {
		if l.probing || now.Before(l.probeAt) {
			return 0
		}
		return l.allows(now, 1)
	}
	calls, size := l.window.limit(l.Concurrency), l.BatchSize
	if l.ramp > 0 {
		calls, size = min(calls, max(1, l.ramp/size)), min(size, l.ramp)
	}
	if l.active >= calls {
		return 0
	}
	return l.allows(now, size)
}

// margin is how long before the end of a lease its deliveries end.
func (r *relay) margin() time.Duration { return r.q.config.Lease / 5 }

// work delivers messages of a line until none may be delivered.
func (r *relay) work(leased context.Context, c *call) {
	for began := time.Now(); r.attempt(leased, c, &began); {
	}
}

// errExited is the failure of a handler that ended its goroutine.
var errExited = errors.New("the handler ended its goroutine (runtime.Goexit)")

// attempt makes a call that began at a time, settles its messages by what the
// handler said, and fills the call anew; it reports whether there is more to do,
// which begins now. The settling is deferred: a handler that ends the goroutine
// must not keep the lane for ever. The loop then starts another worker.
func (r *relay) attempt(leased context.Context, c *call, began *time.Time) (more bool) {
	for range c.items {
		c.results = append(c.results, result{err: errExited})
	}
	exited := true
	defer func() {
		if exited {
			for i := range c.results {
				c.results[i] = result{err: fmt.Errorf("deliver to %s: %w", c.line.Name, errExited)}
			}
		}
		now := time.Now()
		more = r.conclude(leased, c, *began, now, exited)
		*began = now
	}()
	ctx := leased
	if !r.q.quiet {
		for _, it := range c.items {
			c.spans = append(c.spans, r.q.observer.Start(leased, r.event(it, *began)))
		}
		if len(c.items) == 1 {
			ctx = c.spans[0]
		}
	}
	if c.items[0].probe {
		ctx = dovetail.Probe(ctx)
	}
	if c.line.Batch != nil {
		c.batch(ctx)
	} else {
		c.results[0] = c.single(ctx)
	}
	exited = false
	return false
}

// conclude settles the messages of a call, takes the next ones unless this was
// the last, and reports what became of each.
func (r *relay) conclude(leased context.Context, c *call, began, now time.Time, last bool) (more bool) {
	interrupted := leased.Err() != nil
	c.said = c.said[:0]
	r.mu.Lock()
	r.finish(c, interrupted, began, now)
	if !last && leased == r.leased {
		more = r.take(c, now)
	}
	r.mu.Unlock()
	for _, s := range c.said {
		r.q.observer.Record(s.ctx, s.event)
	}
	r.nudge()
	return more
}

// delivery returns what the handler is given.
func (it *item) delivery() (Delivery, error) {
	d := Delivery{Message: it.Message, Attempt: it.Attempts + 1, Enqueued: it.Enqueued, Replays: it.Replays}
	if it.packed() {
		return d, d.unpack()
	}
	if len(it.Headers) > 0 {
		d.Headers = maps.Clone(it.Headers) // an attempt must not see what the one before did to them
	}
	return d, nil
}

// single calls the handler of the line. A panic becomes an error, with its stack.
func (c *call) single(ctx context.Context) (res result) {
	d, err := c.items[0].delivery()
	if err != nil {
		return result{err: err, local: true}
	}
	ctx, cancel := context.WithTimeout(ctx, c.line.Timeout)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			res = result{err: fmt.Errorf("handler of %s panicked: %v", d.To, v), stack: string(debug.Stack())}
		}
	}()
	return result{err: c.line.Handler.Handle(ctx, d)}
}

// event describes an attempt.
func (r *relay) event(it *item, began time.Time) dovetail.Event {
	return dovetail.Event{
		Name: "outbox.delivery", Time: began, System: it.line.System, Destination: it.To,
		Key: it.Key, Message: it.ID, Attempt: it.Attempts + 1, Headers: it.Headers,
	}
}
