package memstore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tectari/dovetail/outbox"
)

// longDeferral is the wait from which on a deferred message counts as scheduled.
const longDeferral = 10 * time.Minute

// QueueStatus looks at the oldest entries and says how things stand.
func (s *Store) QueueStatus(ctx context.Context, limit int) ([]outbox.Status, error) {
	found := map[string]*outbox.Status{}
	get := func(name string) *outbox.Status {
		if found[name] == nil {
			found[name] = &outbox.Status{Destination: name}
		}
		return found[name]
	}
	full := false
	err := s.update(ctx, func(*Tx) error {
		o, now := &s.outbox, time.Now()
		n := 0
		for _, seq := range o.order {
			e, ok := o.waiting[seq]
			if !ok {
				continue
			}
			if n++; n > limit {
				full = true
				break
			}
			st := get(e.To)
			st.Waiting++
			st.Age = max(st.Age, now.Sub(e.Enqueued))
		}
		for _, p := range o.parked {
			st := get(p.To)
			since := p.Enqueued
			switch p.State {
			case outbox.Dead:
				st.Dead++
				continue
			case outbox.Doubtful:
				st.InDoubt++
				continue
			case outbox.Scheduled:
				since = p.due
			case outbox.Deferred:
				if p.due.Sub(p.at) >= longDeferral {
					since = p.due
				}
			}
			st.Parked++
			st.Age = max(st.Age, now.Sub(since))
		}
		for name, p := range o.pauses {
			get(name).Paused = &p
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var out []outbox.Status
	for _, name := range slices.Sorted(maps.Keys(found)) {
		found[name].AtLeast = full
		out = append(out, *found[name])
	}
	return out, nil
}

// DeadLetters returns what the filter selects.
func (s *Store) DeadLetters(ctx context.Context, f outbox.Filter) ([]outbox.DeadLetter, error) {
	var out []outbox.DeadLetter
	err := s.update(ctx, func(*Tx) error {
		for _, p := range s.outbox.letters(f) {
			out = append(out, outbox.DeadLetter{
				Message: p.Message, Seq: p.Seq, Enqueued: p.Enqueued, Parked: p.at, Attempts: p.Attempts, Replays: p.Replays,
				InDoubt: p.State == outbox.Doubtful, Class: p.class, Code: p.code, Field: p.field, Error: p.err,
			})
		}
		return nil
	})
	return out, err
}

// letters returns what a filter selects, by Seq.
func (o *outboxState) letters(f outbox.Filter) []parked {
	state := outbox.Dead
	if f.InDoubt {
		state = outbox.Doubtful
	}
	if f.Limit <= 0 {
		f.Limit = 1000
	}
	is := func(want, got string) bool { return want == "" || want == got }
	var out []parked
	for _, seq := range slices.Sorted(maps.Keys(o.parked)) {
		p := o.parked[seq]
		if p.State == state && seq > f.After && len(out) < f.Limit &&
			is(f.Destination, p.To) && is(f.Class, p.class.String()) && is(f.Code, p.code) && is(f.Key, p.Key) && is(f.Topic, p.Topic) &&
			(len(f.IDs) == 0 || slices.Contains(f.IDs, p.ID)) &&
			!p.at.Before(f.Since) && (f.Before.IsZero() || p.at.Before(f.Before)) {
			out = append(out, p)
		}
	}
	return out
}

// OperateQueue does what a person asked for, and records it.
func (s *Store) OperateQueue(ctx context.Context, op outbox.Operation) (outbox.Operated, error) {
	var out outbox.Operated
	err := s.update(ctx, func(tx *Tx) error {
		o, now := &s.outbox, time.Now()
		switch op.Action {
		case outbox.PauseAction:
			put(tx, o.pauses, op.Destination, outbox.Pause{Who: op.Who, Why: op.Why, At: now})
		case outbox.ResumeAction:
			drop(tx, o.pauses, op.Destination)
		case outbox.ReplayAction, outbox.DiscardAction:
			found := o.letters(op.Filter)
			for _, p := range found {
				if op.Action == outbox.DiscardAction {
					o.removeParked(tx, p.Seq)
					continue
				}
				p.State, p.due, p.Attempts = outbox.Behind, now, 0
				p.Replays++
				if p.Lane == "" {
					p.State = outbox.Retrying
				}
				o.setParked(tx, p)
			}
			for _, p := range found {
				if p.Lane != "" {
					o.mend(tx, laneKey{p.To, p.Lane}, now)
				}
			}
			out = outbox.Operated{Messages: len(found), Settled: o.settled(found)}
		default:
			return fmt.Errorf("memstore: unknown action %q", op.Action)
		}
		op.Filter.IDs = slices.Clone(op.Filter.IDs)
		o.audit = append(o.audit, outbox.Recorded{ID: int64(len(o.audit)) + 1, At: now, Operation: op, Messages: out.Messages})
		return nil
	})
	return out, err
}

// QueueOperations returns what people did, newest first.
func (s *Store) QueueOperations(ctx context.Context, f outbox.OperationFilter) ([]outbox.Recorded, error) {
	var out []outbox.Recorded
	err := s.update(ctx, func(*Tx) error {
		for _, r := range slices.Backward(s.outbox.audit) {
			if len(out) < f.Limit && (f.Below == 0 || r.ID < f.Below) &&
				(f.Destination == "" || f.Destination == r.Destination) && (f.Who == "" || f.Who == r.Who) &&
				(f.Action == "" || f.Action == r.Action) && !r.At.Before(f.Since) && (f.Before.IsZero() || r.At.Before(f.Before)) {
				out = append(out, r)
			}
		}
		return nil
	})
	return out, err
}

var _ outbox.OperationLog = (*Store)(nil)

// settled returns the causes of letters of which none is left.
func (o *outboxState) settled(found []parked) []outbox.Cause {
	cause := func(p parked) outbox.Cause {
		return outbox.Cause{Destination: p.To, InDoubt: p.State == outbox.Doubtful, Class: p.class, Code: p.code, Field: p.field}
	}
	left := map[outbox.Cause]bool{}
	for _, p := range o.parked {
		if p.State == outbox.Dead || p.State == outbox.Doubtful {
			left[cause(p)] = true
		}
	}
	var out []outbox.Cause
	for _, p := range found {
		if c := cause(p); !left[c] {
			left[c] = true // once
			out = append(out, c)
		}
	}
	return out
}
