package outbox

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
)

// A batch is results that are to be written.
type batch struct {
	Settlement
	items      []*item
	superseded int
}

func (b *batch) empty() bool { return len(b.items) == 0 && len(b.Drop) == 0 }

// emptied returns b with nothing in it and the room that it had.
func (b batch) emptied() batch {
	clear(b.items) // so that they can be collected
	return batch{Settlement: Settlement{Done: b.Done[:0]}, items: b.items[:0]}
}

// flush writes all results there are in one transaction. While it writes, more
// come together for the next. Once the lease is over they wait until it is renewed,
// and are dropped if it is lost: another relay may have parked what this one
// delivered, with others behind it, and to delete the head then would leave those
// waiting for nobody.
func (r *relay) flush() error {
	r.mu.Lock()
	if !time.Now().Before(r.leaseEnd) {
		r.mu.Unlock()
		return nil
	}
	b := r.pending
	r.pending = r.spare.emptied()
	r.spare = batch{}
	r.mu.Unlock()
	if b.empty() {
		return nil
	}
	b.Relay = r.id
	slices.Sort(b.Done) // all writers touch rows in one order
	ctx, cancel := r.storeContext()
	settled, err := r.q.store.SettleMessages(ctx, b.Settlement)
	cancel()
	if err != nil {
		r.mu.Lock()
		b.Done = append(b.Done, r.pending.Done...)
		b.Park = append(b.Park, r.pending.Park...)
		b.Drop = append(b.Drop, r.pending.Drop...)
		b.items = append(b.items, r.pending.items...)
		b.superseded += r.pending.superseded
		r.pending = b
		r.mu.Unlock()
		return fmt.Errorf("write results: %w", err)
	}
	r.mu.Lock()
	for _, it := range b.items {
		r.forget(it)
	}
	r.mu.Unlock()
	r.tell(b, settled)
	r.spare = b
	return nil
}

// storeContext bounds a call of the store: one that hangs longer than a lease
// does not help anyone.
func (r *relay) storeContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.base, max(r.q.config.Lease, 5*time.Second))
}

// tell reports what was written that a person must know.
func (r *relay) tell(b batch, settled Settled) {
	var refused map[int64]bool
	if len(settled.Refused) > 0 {
		refused = map[int64]bool{}
	}
	for _, seq := range settled.Refused {
		refused[seq] = true
	}
	if len(refused) > 0 {
		r.q.observer.Record(r.base, dovetail.Event{
			Name: "outbox.fenced", Time: time.Now(), Outcome: "refused", Count: int64(len(refused)),
			Why: "another relay owns the shard; it delivers the messages",
		})
	}
	if n := b.superseded + settled.Dropped; n > 0 {
		r.q.observer.Record(r.base, dovetail.Event{
			Name: "outbox.superseded", Time: time.Now(), Outcome: "dropped", Count: int64(n), Why: "a newer message of the key replaces them",
		})
	}
	if len(b.Park) == 0 {
		return // the common case, for each flush
	}
	byID := map[int64]*item{}
	for _, it := range b.items {
		byID[it.Seq] = it
	}
	for _, p := range b.Park {
		if refused[p.Seq] || (p.State != Dead && p.State != Doubtful) {
			continue
		}
		problem := r.q.letterProblem(Cause{Destination: p.Destination, InDoubt: p.State == Doubtful, Class: p.Class, Code: p.Code, Field: p.Field})
		problem.At, problem.Count, problem.Waiting = time.Now(), 1, 1
		if it := byID[p.Seq]; it != nil {
			problem.Sample = it.ID
		}
		r.reports.report(problem)
	}
}

// forget takes a message out of memory.
func (r *relay) forget(it *item) {
	if it.stage == gone {
		return
	}
	it.stage = gone
	l := it.line
	delete(r.memory, it.Seq)
	l.loaded--
	l.bytes -= it.size()
	it.Payload, it.Headers = nil, nil // others of its slab may stay
	l.counts[it.Shard]--
	if it.State != Waiting {
		l.parked--
	}
	if ln := it.lane; ln != nil {
		ln.items--
		r.retire(l, ln)
	}
}

// retire takes a lane out of memory when nothing of it is there and nothing is
// left to read for it. If it is blocked, the store says so to whoever reads it
// next.
func (r *relay) retire(l *line, ln *lane) {
	if ln.items > 0 || (ln.behind && !ln.blocked) {
		return
	}
	delete(r.drains, ln)
	if l.lanes[ln.name] == ln {
		delete(l.lanes, ln.name)
	}
}

// goDown pauses a line because its system does not answer.
func (r *relay) goDown(l *line, err error, class dovetail.Class, after time.Duration) {
	now := time.Now()
	l.probeAt = now.Add(max(l.ProbeEvery, min(after, time.Minute)))
	l.why = err.Error()
	if !l.down {
		if l.recovered.IsZero() { // else it fell back while it recovered: one outage
			l.since, l.caughtUp, l.gaveUp = now, 0, 0
		}
		l.down, l.auth, l.recovered, l.ramp = true, class == dovetail.Auth, time.Time{}, 0
	}
	// Each probe that fails says so: a report that is not repeated is taken for one
	// of an outage that another destination of the system has seen the end of.
	p := l.problemDown(l.auth)
	p.Why, p.At, p.Waiting = l.why, now, int64(l.loaded)
	r.reports.report(p)
}

// up ends a line's outage: its system answered.
func (r *relay) up(l *line, now time.Time) {
	if !l.down {
		return
	}
	l.down, l.probing = false, false
	l.recovered, l.answered, l.ramp = now, now, 1
	r.reports.recovering(l.problemDown(l.auth))
	r.nudge()
}

// recoverSlowly is how long after the first success an outage is told as over at
// the latest, with what was caught up until then; after a shorter one it is as long
// as that was.
const recoverSlowly = time.Minute

// recovery tells that an outage is over and what became of what had gathered, once
// that is delivered.
func (r *relay) recovery(l *line, last bool) {
	if l.down || l.recovered.IsZero() {
		return
	}
	caughtUp := l.live && l.loaded == 0
	if !caughtUp && !last && time.Since(l.recovered) < min(recoverSlowly, l.recovered.Sub(l.since)) {
		return
	}
	note := fmt.Sprintf("lasted %s, %d caught up, 0 lost", l.recovered.Sub(l.since).Round(time.Second), l.caughtUp)
	if l.gaveUp > 0 {
		note += fmt.Sprintf(", %d in the dead letters", l.gaveUp)
	}
	p := l.problemDown(l.auth)
	p.Waiting = l.caughtUp
	r.reports.clear(p, note)
	l.recovered, l.ramp = time.Time{}, 0
}

// problemDown is the problem of a destination whose system is down, or refuses us.
func (d Destination) problemDown(auth bool) alert.Problem {
	p := alert.Problem{Rule: alert.Down, Severity: alert.Critical, System: d.System, Destination: d.Name, Class: dovetail.Unavailable}
	if auth {
		p.Rule, p.Class = alert.Auth, dovetail.Auth
	}
	return p
}
