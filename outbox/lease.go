package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tectari/dovetail"
)

// forgetEvery is how often old deduplication keys are removed.
const forgetEvery = time.Minute

// leaseEvery is how often the leases are renewed: often enough that two tries may
// fail, and that a relay which comes or goes is noticed within a second.
func (r *relay) leaseEvery() time.Duration { return min(r.q.config.Lease/3, time.Second) }

// keepLease renews the leases when it is time, takes over free shards, and gives
// some up to relays that have fewer.
func (r *relay) keepLease() error {
	now := time.Now()
	r.mu.Lock()
	for _, l := range r.order {
		r.recovery(l, false)
	}
	release := r.drainedShards()
	if r.lost {
		if r.active > 0 { // a worker wakes the loop when it ends
			r.nextLease = now.Add(r.leaseEvery())
			r.mu.Unlock()
			return nil
		}
		r.abandon() // what they delivered since is not ours to settle
		r.lost, r.registered = false, false
	}
	stopping, leaseEnd := r.stopping, r.leaseEnd
	r.mu.Unlock()
	if now.Before(r.nextLease) && len(release) == 0 {
		return nil
	}
	if stopping && (!r.registered || !now.Before(leaseEnd)) {
		// Who leaves renews what it has and takes nothing up again: else one whose
		// results cannot be written would never end.
		r.nextLease = now.Add(r.leaseEvery())
		return nil
	}
	req := LeaseRequest{Renew: r.registered, TTL: r.q.config.Lease, Release: release}
	if !r.registered {
		r.id = newID()
	}
	req.Relay = r.id
	if !stopping { // who leaves takes nothing more
		for _, l := range r.order {
			req.Destinations = append(req.Destinations, l.Name)
		}
	}
	if !now.Before(r.nextForget) {
		req.Forget, r.nextForget = r.q.config.DedupFor, now.Add(forgetEvery)
	}
	ctx, cancel := r.storeContext()
	lease, err := r.q.store.LeaseShards(ctx, req)
	cancel()
	switch {
	case errors.Is(err, ErrLeaseLost):
		r.lose()
		return nil
	case err != nil:
		return fmt.Errorf("renew leases: %w", err)
	}
	r.registered = true
	r.nextLease = now.Add(r.leaseEvery())
	r.granted(lease, now.Add(r.q.config.Lease))
	return nil
}

// drainedShards returns the shards on their way to other relays of which nothing
// is in memory any more.
func (r *relay) drainedShards() map[string]uint64 {
	var out map[string]uint64
	for _, l := range r.order {
		for shard := range Shards {
			if l.giving>>shard&1 == 1 && l.counts[shard] == 0 {
				if out == nil {
					out = map[string]uint64{}
				}
				out[l.Name] |= 1 << shard
			}
		}
	}
	return out
}

// granted applies a lease that ends at end.
func (r *relay) granted(lease Lease, end time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leaseEnd = end
	if !r.pending.empty() {
		r.nudge() // they may have waited for it
	}
	if r.leased.Err() != nil {
		r.leased, r.unlease = context.WithCancel(r.base)
	}
	unlease := r.unlease
	r.guard(unlease)
	for _, l := range r.order {
		l.shards = lease.Owned[l.Name]
		l.share(l.shards, time.Now())
		// What came back under a new lease is not on its way any more.
		l.giving &= l.shards &^ lease.Fresh[l.Name]
		if p, ok := lease.Paused[l.Name]; ok {
			l.pause = &p
		} else {
			l.pause = nil
		}
		if lease.Fresh[l.Name] != 0 {
			// Whatever waits in the new shards is read from the beginning; what is
			// in memory already is recognised.
			l.live, l.position, l.more = false, Position{}, true
			l.unread |= lease.Fresh[l.Name]
			r.hint.Store(true)
		}
		if n := lease.Excess[l.Name]; n > 0 && l.giving == 0 && !r.stopping {
			l.giving = shed(l.shards, n)
			r.dropQueued(l)
			r.nudge()
		}
	}
}

// guard ends the deliveries under way shortly before the lease ends, unless it is
// renewed before.
func (r *relay) guard(unlease context.CancelFunc) {
	if r.guardian != nil {
		r.guardian.Stop()
	}
	r.guardian = time.AfterFunc(time.Until(r.leaseEnd.Add(-r.margin())), unlease)
}

// dropQueued takes out of memory what waits in shards that the line no longer
// serves. Deliveries under way end first.
func (r *relay) dropQueued(l *line) {
	for _, it := range r.memory {
		if it.line != l || l.has(it.Shard) || (it.stage != queued && it.stage != ready) {
			continue
		}
		if ln := it.lane; ln != nil {
			ln.queue = nil
			ln.behind = false
			delete(r.drains, ln)
		}
		r.forget(it)
	}
	for ln, of := range r.drains {
		if of == l && !l.has(shardOf(l.Name, ln.name, "")) {
			ln.behind = false
			r.retire(l, ln)
		}
	}
}

// abandon forgets the results that were not written: they are for others to decide
// now, who deliver those messages again.
func (r *relay) abandon() {
	for _, it := range r.pending.items {
		r.forget(it)
	}
	r.pending = batch{}
}

// lose forgets everything: others have taken over. What runs is waited for,
// before the relay begins anew.
func (r *relay) lose() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost = true
	r.unlease()
	r.leaseEnd = time.Time{}
	r.abandon()
	for _, l := range r.order {
		l.shards, l.giving, l.unread = 0, 0, 0
		l.live, l.position, l.more = false, Position{}, false
		r.dropQueued(l)
	}
	r.nextLease = time.Time{}
	r.q.observer.Record(r.base, dovetail.Event{
		Name: "outbox.lease", Time: time.Now(), Outcome: "lost",
		Why: "the relay could not renew its leases in time; others have its shards",
		Err: ErrLeaseLost, Class: dovetail.Transient,
	})
	r.nudge()
}

// goodbye writes what is left and frees all shards, so that others go on at once.
func (r *relay) goodbye() {
	if err := r.flush(); err != nil {
		r.trouble(err)
	}
	r.mu.Lock()
	for _, l := range r.order {
		r.recovery(l, true)
	}
	if r.guardian != nil {
		r.guardian.Stop()
	}
	r.unlease()
	r.mu.Unlock()
	if !r.registered {
		return
	}
	ctx, cancel := r.storeContext()
	defer cancel()
	if _, err := r.q.store.LeaseShards(ctx, LeaseRequest{Relay: r.id, Renew: true}); err != nil && !errors.Is(err, ErrLeaseLost) {
		r.trouble(fmt.Errorf("give the leases back: %w", err))
	}
}
