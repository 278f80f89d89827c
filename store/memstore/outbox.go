package memstore

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
)

// outboxState is the queue.
type outboxState struct {
	seq     int64
	waiting map[int64]outbox.Entry
	// order is the Seqs of waiting, ascending; those that are gone stay until the
	// next compaction.
	order  []int64
	parked map[int64]parked
	lanes  map[laneKey]map[int64]bool // of parked, except scheduled ones
	relays map[string]relay
	shards map[string]*[outbox.Shards]string
	pauses map[string]outbox.Pause
	dedup  map[dedupKey]time.Time
	seen   map[seenKey]time.Time // of the inbox
	audit  []outbox.Recorded
}

type laneKey struct{ destination, lane string }

type dedupKey struct{ destination, key string }

// parked is an entry that waits apart.
type parked struct {
	outbox.Entry
	due, at     time.Time
	class       dovetail.Class
	code, field string
	err         string
}

// relay is a live relay.
type relay struct {
	until        time.Time
	destinations []string
}

func newOutboxState() outboxState {
	return outboxState{
		waiting: map[int64]outbox.Entry{}, parked: map[int64]parked{}, lanes: map[laneKey]map[int64]bool{},
		relays: map[string]relay{}, shards: map[string]*[outbox.Shards]string{},
		pauses: map[string]outbox.Pause{}, dedup: map[dedupKey]time.Time{}, seen: map[seenKey]time.Time{},
	}
}

var (
	_ outbox.Store = (*Store)(nil)
	_ outbox.Tx    = (*Tx)(nil)
)

// Transact runs fn in a transaction; tx is a *Tx.
func (s *Store) Transact(ctx context.Context, fn func(ctx context.Context, tx outbox.Tx) error) error {
	return s.update(ctx, func(tx *Tx) error { return fn(ctx, tx) })
}

// InsertMessages stores entries in tx, which must be a *Tx of this store that has
// not ended.
func (s *Store) InsertMessages(_ context.Context, tx outbox.Tx, entries []outbox.Entry) ([]int, error) {
	t, ok := tx.(*Tx)
	if !ok || t == nil || t.store != s {
		return nil, fmt.Errorf("%w: a %T; memstore needs the *memstore.Tx of the same store", outbox.ErrForeignTx, tx)
	}
	if t.ended() {
		return nil, ErrTxDone
	}
	now := time.Now()
	o := &s.outbox
	var duplicates []int
	for i, e := range entries {
		if e.DedupKey != "" {
			k := dedupKey{e.To, e.DedupKey}
			if _, seen := o.dedup[k]; seen {
				duplicates = append(duplicates, i)
				continue
			}
			put(t, o.dedup, k, now)
		}
		o.seq++ // never given twice, even after a rollback
		e.Seq, e.Enqueued, e.State = o.seq, now, outbox.Waiting
		e.Payload, e.Headers = slices.Clone(e.Payload), maps.Clone(e.Headers)
		if e.Due.After(now) {
			e.State = outbox.Scheduled
			o.setParked(t, parked{Entry: e, due: e.Due, at: now})
			continue
		}
		put(t, o.waiting, e.Seq, e)
		o.order = append(o.order, e.Seq)
	}
	return duplicates, nil
}

// setParked stores p, in place of what was parked under its Seq.
func (o *outboxState) setParked(tx *Tx, p parked) {
	o.removeParked(tx, p.Seq)
	put(tx, o.parked, p.Seq, p)
	if p.Lane == "" || p.State == outbox.Scheduled {
		return
	}
	k := laneKey{p.To, p.Lane}
	if o.lanes[k] == nil {
		o.lanes[k] = map[int64]bool{}
	}
	put(tx, o.lanes[k], p.Seq, true)
}

func (o *outboxState) removeParked(tx *Tx, seq int64) {
	p, ok := o.parked[seq]
	if !ok {
		return
	}
	drop(tx, o.parked, seq)
	k := laneKey{p.To, p.Lane}
	if m := o.lanes[k]; m != nil {
		drop(tx, m, seq)
		if len(m) == 0 {
			drop(tx, o.lanes, k)
		}
	}
}

// flagged returns e with what is parked before it in its lane.
func (o *outboxState) flagged(e outbox.Entry) outbox.Entry {
	e.Waits, e.Stops = false, false
	if e.Lane == "" {
		return e
	}
	for seq := range o.lanes[laneKey{e.To, e.Lane}] {
		if seq >= e.Seq {
			continue
		}
		switch o.parked[seq].State {
		case outbox.Retrying, outbox.Deferred, outbox.Behind:
			e.Waits = true
		case outbox.Dead, outbox.Doubtful:
			e.Stops = true
		}
	}
	return e
}

// ReadMessages reads what waits. There is one transaction at a time, so nothing
// appears behind the position.
func (s *Store) ReadMessages(ctx context.Context, q outbox.ReadQuery) (outbox.Page, error) {
	page := outbox.Page{Position: q.Position}
	masks := map[string]uint64{}
	for _, w := range q.Wants {
		masks[w.Destination] = w.Shards
	}
	err := s.update(ctx, func(*Tx) error {
		o := &s.outbox
		o.compact()
		size := 0
		first, _ := slices.BinarySearch(o.order, q.Position.After+1)
		for _, seq := range o.order[first:] {
			e, ok := o.waiting[seq]
			if ok && masks[e.To]>>e.Shard&1 == 1 {
				if len(page.Entries) == q.Limit || size > q.Bytes {
					page.More = true
					return nil
				}
				size += len(e.Payload)
				page.Entries = append(page.Entries, o.flagged(e))
			}
			page.Position.After = seq
		}
		return nil
	})
	return page, err
}

// compact forgets the Seqs of messages that are gone, when they are many.
func (o *outboxState) compact() {
	if len(o.order) > 1000 && len(o.order) > 2*len(o.waiting) {
		o.order = slices.DeleteFunc(o.order, func(seq int64) bool {
			_, ok := o.waiting[seq]
			return !ok
		})
	}
}

// DueMessages reads parked messages whose time has come.
func (s *Store) DueMessages(ctx context.Context, wants []outbox.Want) ([]outbox.Entry, error) {
	var out []outbox.Entry
	err := s.update(ctx, func(*Tx) error {
		now := time.Now()
		for _, w := range wants {
			var due []parked
			for _, p := range s.outbox.parked {
				timed := p.State == outbox.Scheduled || p.State == outbox.Retrying || p.State == outbox.Deferred
				if p.To == w.Destination && timed && w.Shards>>p.Shard&1 == 1 && !p.due.After(now) {
					due = append(due, p)
				}
			}
			slices.SortFunc(due, func(a, b parked) int {
				return cmp.Or(a.due.Compare(b.due), cmp.Compare(a.Seq, b.Seq))
			})
			for _, p := range due[:min(len(due), w.Limit)] {
				out = append(out, s.outbox.flagged(p.Entry))
			}
		}
		return nil
	})
	return out, err
}

// LaneMessages reads what is parked behind another of its lane.
func (s *Store) LaneMessages(ctx context.Context, destination, lane string, limit int) ([]outbox.Entry, error) {
	var out []outbox.Entry
	err := s.update(ctx, func(*Tx) error {
		for _, seq := range slices.Sorted(maps.Keys(s.outbox.lanes[laneKey{destination, lane}])) {
			p := s.outbox.parked[seq]
			if p.State == outbox.Retrying || p.State == outbox.Deferred || len(out) == limit {
				break
			}
			if p.State == outbox.Behind {
				out = append(out, s.outbox.flagged(p.Entry))
			}
		}
		return nil
	})
	return out, err
}

// SettleMessages writes results in one transaction.
func (s *Store) SettleMessages(ctx context.Context, st outbox.Settlement) (outbox.Settled, error) {
	var out outbox.Settled
	err := s.update(ctx, func(tx *Tx) error {
		o, now := &s.outbox, time.Now()
		for _, seq := range st.Done {
			drop(tx, o.waiting, seq)
			p, ok := o.parked[seq]
			o.removeParked(tx, seq)
			if ok && !o.owns(st.Relay, p.To, p.Shard) {
				o.mendShards(tx, p.To, 1<<p.Shard, now)
			}
		}
		gone := map[string]uint64{}
		for _, p := range st.Park {
			if !o.owns(st.Relay, p.Destination, p.Shard) {
				out.Refused = append(out.Refused, p.Seq)
				continue
			}
			next := parked{Entry: o.parked[p.Seq].Entry}
			if e, ok := o.waiting[p.Seq]; ok {
				next.Entry = e
				drop(tx, o.waiting, p.Seq)
			} else if next.Seq == 0 {
				gone[p.Destination] |= 1 << p.Shard
				continue // it stays gone
			}
			next.State, next.Attempts = p.State, p.Attempts
			next.due, next.at = now.Add(p.Wait), now
			next.class, next.code, next.field, next.err = p.Class, p.Code, p.Field, p.Error
			o.setParked(tx, next)
		}
		for _, p := range st.Park {
			if e, ok := o.parked[p.Seq]; ok && p.Stops && o.owns(st.Relay, p.Destination, p.Shard) {
				o.free(tx, laneKey{e.To, e.Lane}, now)
			}
		}
		for destination, mask := range gone {
			o.mendShards(tx, destination, mask, now)
		}
		for _, d := range st.Drop {
			if o.owns(st.Relay, d.Destination, d.Shard) {
				out.Dropped += o.supersede(tx, d)
			}
		}
		return nil
	})
	return out, err
}

func (o *outboxState) owns(relay, destination string, shard int) bool {
	owners := o.shards[destination]
	return owners != nil && relay != "" && owners[shard] == relay
}

func (o *outboxState) supersede(tx *Tx, d outbox.Drop) int {
	n := 0
	for seq := range maps.Clone(o.lanes[laneKey{d.Destination, d.Lane}]) {
		state := o.parked[seq].State
		waits := state == outbox.Retrying || state == outbox.Deferred || state == outbox.Behind
		if seq < d.Before && (d.Dead && state == outbox.Dead || !d.Dead && waits) {
			o.removeParked(tx, seq)
			n++
		}
	}
	return n
}

// free makes the first entry of a lane due if it waits behind nothing at all.
func (o *outboxState) free(tx *Tx, k laneKey, now time.Time) {
	for _, seq := range slices.Sorted(maps.Keys(o.lanes[k])) {
		p := o.parked[seq]
		if p.State == outbox.Scheduled {
			continue
		}
		if p.State == outbox.Behind {
			o.mend(tx, k, now)
		}
		return
	}
}

// mend makes the first entry of a lane due that waits behind nothing any more.
func (o *outboxState) mend(tx *Tx, k laneKey, now time.Time) {
	for _, seq := range slices.Sorted(maps.Keys(o.lanes[k])) {
		p := o.parked[seq]
		switch p.State {
		case outbox.Retrying, outbox.Deferred:
			return
		case outbox.Behind:
			p.State, p.due = outbox.Retrying, now
			o.setParked(tx, p)
			return
		}
	}
}
