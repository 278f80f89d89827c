package outbox

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// A Filter selects dead letters. The zero Filter selects all of them.
type Filter struct {
	// Destination, Class, Code, Field, Key and Topic select by what the dead
	// letter says; empty ones do not matter. Class is the text of a
	// dovetail.Class. A Store is never asked for a Field: the queue looks itself.
	Destination, Class, Code, Field, Key, Topic string
	// IDs selects messages by their ID.
	IDs []string
	// Since and Before select by when the letter was parked.
	Since, Before time.Time
	// InDoubt selects messages in doubt instead of dead letters. To replay one is
	// to say that it may be sent again.
	InDoubt bool
	// After selects those with a higher Seq, to page through.
	After int64
	// Limit is how many at most. Defaults to 1000.
	Limit int
}

func (f Filter) withDefaults() Filter {
	if f.Limit <= 0 {
		f.Limit = 1000
	}
	return f
}

// DeadLetters returns what the filter selects, oldest first.
func (q *Queue) DeadLetters(ctx context.Context, f Filter) ([]DeadLetter, error) {
	var list []DeadLetter
	var err error
	if f = f.withDefaults(); f.Field == "" {
		list, err = q.store.DeadLetters(ctx, f)
		unpackAll(list)
	} else {
		list, err = q.pages(f, letterPage).all(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("outbox: dead letters: %w", err)
	}
	return list, nil
}

// Replay sends what the filter selects again, with its attempts counted anew, in
// the order of each key, and returns how many. It is recorded with the name of
// who did it. All of it is due at once: ReplayAll goes on at a pace.
func (q *Queue) Replay(ctx context.Context, f Filter, by string) (int, error) {
	if by == "" {
		return 0, fmt.Errorf("replay: %w", ErrNoReason)
	}
	return q.operateLetters(ctx, Operation{Action: ReplayAction, Filter: f.withDefaults(), Who: by})
}

// Discard removes what the filter selects for good and returns how many. It is
// recorded with who did it and why.
func (q *Queue) Discard(ctx context.Context, f Filter, by, why string) (int, error) {
	if by == "" || why == "" {
		return 0, fmt.Errorf("discard: %w", ErrNoReason)
	}
	return q.operateLetters(ctx, Operation{Action: DiscardAction, Filter: f.withDefaults(), Who: by, Why: why})
}

// operateLetters does op to what its filter selects.
func (q *Queue) operateLetters(ctx context.Context, op Operation) (int, error) {
	if op.Filter.Field == "" {
		op.Destination = op.Filter.Destination
		return q.operate(ctx, op)
	}
	list, err := q.pages(op.Filter, letterPage).all(ctx)
	if err != nil {
		return 0, fmt.Errorf("outbox: %s: %w", op.Action, err)
	}
	return q.operateList(ctx, op, list)
}

// operateList does op to letters that its filter selects. The store is told their
// IDs, for each destination by itself: an ID is unique there at most.
func (q *Queue) operateList(ctx context.Context, op Operation, list []DeadLetter) (int, error) {
	ids := map[string][]string{}
	var order []string
	for _, l := range list {
		if ids[l.To] == nil {
			order = append(order, l.To)
		}
		ids[l.To] = append(ids[l.To], l.ID)
	}
	total := 0
	op.Filter.Field = ""
	for _, destination := range order {
		op.Destination, op.Filter.Destination = destination, destination
		op.Filter.IDs, op.Filter.Limit = ids[destination], len(ids[destination])
		n, err := q.operate(ctx, op)
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// letterPage is how many letters are read at a time at most, letterStart at first:
// fewer once a page has more than letterBytes of payload, more while it has little.
const (
	letterPage  = 200
	letterStart = 10
	letterBytes = 4 << 20
)

// A pager reads letters page by page, with the memory of one page.
type pager struct {
	q    *Queue
	f    Filter
	size int
	most int
	left int // of the limit; below zero: no limit
}

// pages returns a pager for what f selects, at most f.Limit; without, all. A page
// has no more than most letters.
func (q *Queue) pages(f Filter, most int) *pager {
	p := &pager{q: q, f: f, size: min(most, letterStart), most: most, left: f.Limit}
	if f.Limit <= 0 {
		p.left = -1
	}
	return p
}

// next returns the next page, empty at the end.
func (p *pager) next(ctx context.Context) ([]DeadLetter, error) {
	for p.left != 0 {
		f := p.f
		f.Field, f.Limit = "", p.size
		if p.left > 0 && p.f.Field == "" {
			f.Limit = min(p.size, p.left)
		}
		list, err := p.q.store.DeadLetters(ctx, f)
		if err != nil || len(list) == 0 {
			return nil, err
		}
		unpackAll(list)
		p.f.After = list[len(list)-1].Seq
		bytes := 0
		for _, l := range list {
			bytes += len(l.Payload)
		}
		switch {
		case bytes > letterBytes:
			p.size = max(1, p.size/2)
		case bytes < letterBytes/4:
			p.size = min(2*p.size, p.most)
		}
		list = slices.DeleteFunc(list, func(l DeadLetter) bool { return p.f.Field != "" && p.f.Field != l.Field })
		if p.left > 0 {
			list = list[:min(len(list), p.left)]
			p.left -= len(list)
		}
		if len(list) > 0 {
			return list, nil
		}
	}
	return nil, nil
}

// unpackAll gives letters their payloads as they were enqueued. One whose payload
// is damaged keeps it as it is stored, with the mark: that is why it is here.
func unpackAll(list []DeadLetter) {
	for i := range list {
		_ = list[i].unpack() // the letter says what is wrong
	}
}

// all returns what is left in one list.
func (p *pager) all(ctx context.Context) ([]DeadLetter, error) {
	var out []DeadLetter
	for {
		list, err := p.next(ctx)
		if err != nil || len(list) == 0 {
			return out, err
		}
		out = append(out, list...)
	}
}
