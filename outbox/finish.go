package outbox

import (
	"errors"
	"fmt"
	"time"

	"github.com/tectari/dovetail"
)

// finish settles the messages of a call that began and ended at a time, and notes
// the events that say so. Results that the system is down come last: what it
// answered otherwise in the same call must not end the outage.
func (r *relay) finish(c *call, interrupted bool, began, now time.Time) {
	l := c.line
	l.active--
	r.active--
	r.holdUp(c)
	arrived, outage := false, false
	for i, it := range c.items {
		res := &c.results[i]
		switch {
		case res.err == nil:
			arrived = true
		case errors.Is(res.err, errHeld): // it is in its lane again
			r.say(c, i, "held", errHeld.Error(), began, now)
			continue
		default:
			res.class = dovetail.Classify(res.err)
			if res.class == dovetail.Unavailable || res.class == dovetail.Auth {
				outage = true
				continue
			}
		}
		outcome, why := r.settle(it, res, interrupted, now)
		r.say(c, i, outcome, why, began, now)
	}
	l.window.adapt(c, l.active+1 >= l.window.limit(l.Concurrency), l.Concurrency, began, now)
	if arrived && l.ramp > 0 {
		if l.ramp *= 2; l.ramp >= l.Concurrency*l.BatchSize {
			l.ramp = 0
		}
	}
	if !outage {
		return
	}
	for i, it := range c.items {
		if res := &c.results[i]; res.class == dovetail.Unavailable || res.class == dovetail.Auth {
			outcome, why := r.settle(it, res, interrupted, now)
			r.say(c, i, outcome, why, began, now)
		}
	}
}

// say notes the event that ends an attempt, if anybody listens.
func (r *relay) say(c *call, i int, outcome, why string, began, now time.Time) {
	err := c.results[i].err
	if outcome == "deferred" || outcome == "held" {
		err = nil
	}
	if r.q.quiet && err == nil {
		return
	}
	s := saying{ctx: r.base, event: r.event(c.items[i], began)}
	if i < len(c.spans) {
		s.ctx = c.spans[i]
	}
	s.event.Duration, s.event.Outcome, s.event.Why, s.event.Err = now.Sub(began), outcome, why, err
	if err != nil {
		s.event.Class = c.results[i].class
	}
	c.said = append(c.said, s)
}

// settle decides what becomes of a message by what its handler said, and returns
// the outcome and its reason.
func (r *relay) settle(it *item, res *result, interrupted bool, now time.Time) (outcome, why string) {
	l := it.line
	wait, deferred := errors.AsType[*deferral](res.err)
	if ln := it.lane; ln != nil {
		if ln.flying--; ln.flying == 0 {
			ln.running = nil
		}
	}
	it.follows = false
	if it.probe {
		it.probe, l.probing = false, false
		l.probeAt = now.Add(l.ProbeEvery)
		if deferred {
			l.probeAt = now // nothing was asked of the system; the next one may
		}
	}
	if res.err == nil {
		r.up(l, now)
		r.delivered(it)
		return "delivered", ""
	}
	if deferred { // which says nothing of the system: an outage goes on
		r.hold(it, Parking{State: Deferred, Wait: wait.after, Attempts: it.Attempts})
		return "deferred", wait.why
	}
	if interrupted && res.class != dovetail.InDoubt {
		r.back(it)
		return "interrupted", "the lease of the relay ended"
	}
	return r.failed(it, res, now)
}

// failed decides what becomes of a message that did not arrive.
func (r *relay) failed(it *item, res *result, now time.Time) (outcome, why string) {
	l := it.line
	after, _ := dovetail.RetryAfter(res.err)
	p := parkingOf(it, res.err, res.class, res.stack)
	switch {
	case res.class == dovetail.Unavailable || res.class == dovetail.Auth:
		r.back(it)
		r.goDown(l, res.err, res.class, after)
		return "paused", "the destination does not answer; the message waits"
	case res.class == dovetail.RateLimited:
		r.up(l, now)
		r.back(it)
		if after <= 0 {
			after = l.ProbeEvery
		}
		if until := now.Add(after); until.After(l.limitedUntil) {
			l.limitedUntil = until
		}
		return "rate-limited", ""
	case res.class == dovetail.InDoubt:
		p.State = Doubtful
		r.end(it, p)
		return "in-doubt", ""
	case res.class == dovetail.Invalid || res.class == dovetail.NotFound || res.class == dovetail.Permanent:
		r.up(l, now)
		p.State = Dead
		r.end(it, p)
		return "dead", ""
	case p.Attempts >= l.Attempts:
		p.State = Dead
		r.end(it, p)
		return "dead", fmt.Sprintf("failed %d times", p.Attempts)
	default:
		p.State, p.Wait = Retrying, max(l.Backoff.wait(p.Attempts), after)
		r.hold(it, p)
		return "retry", ""
	}
}

// maxError bounds the text of an error that is kept with a message.
const maxError = 8 << 10

// parkingOf returns how a failure is written down.
func parkingOf(it *item, err error, class dovetail.Class, stack string) Parking {
	p := Parking{Attempts: it.Attempts + 1, Class: class}
	if err == nil {
		return p
	}
	p.Error = err.Error()
	if stack != "" {
		p.Class = dovetail.Transient
		p.Error += "\n\n" + stack
	}
	if len(p.Error) > maxError {
		p.Error = p.Error[:maxError]
	}
	if detail, ok := errors.AsType[*dovetail.Error](err); ok {
		p.Code, p.Field = detail.Code, detail.Field
	}
	return p
}

// delivered settles a message that arrived.
func (r *relay) delivered(it *item) {
	l, ln := it.line, it.lane
	if l.recovered.IsZero() {
		if !l.everWorked {
			r.reports.clear(l.problemDown(false), "deliveries work")
			r.reports.clear(l.problemDown(true), "deliveries work")
		}
	} else {
		l.caughtUp++
	}
	l.everWorked = true
	r.done(it)
	if ln == nil {
		return
	}
	if it.Stops && l.Poison == LatestWins {
		r.pending.Drop = append(r.pending.Drop, Drop{Destination: l.Name, Shard: it.Shard, Lane: ln.name, Before: it.Seq, Dead: true})
	}
	r.pass(it)
}

// pass lets the lane go on after a message that was settled. One that was parked
// may have others behind it.
func (r *relay) pass(it *item) {
	l, ln := it.line, it.lane
	if it.State != Waiting {
		ln.behind = true
	}
	if ln.behind {
		r.drains[ln] = l
	}
	ln.advance(l, false)
}

// end parks a message for a person.
func (r *relay) end(it *item, p Parking) {
	ln := it.lane
	if p.State == Dead {
		it.line.gaveUp++
	}
	r.park(it, p)
	if ln == nil {
		return
	}
	switch it.line.Poison {
	case BlockKey:
		r.block(ln)
		return
	case LatestWins:
		ln.parked = max(ln.parked, it.Seq)
		for _, newer := range ln.queue {
			newer.Stops = true
		}
	}
	r.pass(it)
}

// hold parks a message for a while; its lane waits for it.
func (r *relay) hold(it *item, p Parking) {
	ln := it.lane
	if ln != nil && it.line.Poison == LatestWins {
		if len(ln.queue) > 0 {
			r.supersede(it)
		} else {
			r.park(it, p)
			ln.parked = max(ln.parked, it.Seq)
		}
		ln.advance(it.line, false)
		return
	}
	r.park(it, p)
	if ln != nil {
		r.block(ln)
	}
}

// block parks what the lane has in memory behind the one that was parked.
func (r *relay) block(ln *lane) {
	ln.blocked = true
	for _, it := range ln.queue {
		r.park(it, Parking{State: Behind, Attempts: it.Attempts})
	}
	ln.queue = nil
}

// back returns a message to the front of its lane: it was not its turn to fail.
func (r *relay) back(it *item) {
	it.stage = queued
	l, ln := it.line, it.lane
	switch {
	case !l.has(it.Shard) || r.lost:
		r.forget(it)
	case ln == nil:
		l.push(it, true)
	case l.Poison == LatestWins && len(ln.queue) > 0:
		r.supersede(it)
		ln.advance(l, true)
	default:
		ln.enter(it)
		ln.advance(l, true)
	}
}

// supersede drops a message that a newer one of its key replaces.
func (r *relay) supersede(it *item) {
	r.done(it)
	r.pending.superseded++
}

// done deletes a message from the store, soon.
func (r *relay) done(it *item) {
	it.stage = settling
	r.pending.Done = append(r.pending.Done, it.Seq)
	r.pending.items = append(r.pending.items, it)
}

// park writes, soon, that a message waits apart.
func (r *relay) park(it *item, p Parking) {
	it.stage = settling
	p.Seq, p.Destination, p.Shard = it.Seq, it.To, it.Shard
	p.Stops = p.State == Behind && it.Stops
	r.pending.Park = append(r.pending.Park, p)
	r.pending.items = append(r.pending.items, it)
}
