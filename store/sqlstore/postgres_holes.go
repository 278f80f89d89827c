package sqlstore

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A span is the ids from lo to hi, both included.
type span struct{ lo, hi int64 }

// holes are the ids that a reader has passed without seeing them: their
// transactions have not ended, or were rolled back. It is a value: what a method
// returns shares no memory that is written to, since several positions hold it.
//
// Whoever took such an id had a transaction number before that. So if a number is
// taken after the id was missed, every transaction that may still fill the hole
// has a smaller one, and stands in the list of those in progress of any snapshot
// that ends above that number. A hole that the last of these has left without
// filling it was a rollback. An unrelated transaction that stays open costs
// nothing: the ranges are read again only when one of the list has ended.
type holes []generation

// A generation is the holes that were missed by one read.
type generation struct {
	spans []span // ascending
	// barrier is a transaction number that was taken after the holes were missed;
	// 0 as long as there is none.
	barrier uint64
	// owners, once armed, are the transactions that may still fill the holes.
	armed  bool
	owners []uint64
}

// mostSpans bounds the spans of all generations together. That many gather only
// while a transaction that has stored messages stays open and thousands of others
// roll back. Beyond it the oldest are given up: the audit of the relay finds what
// may appear there.
const mostSpans = 4096

// A snapshot is which transactions had ended, as pg_current_snapshot tells.
type snapshot struct {
	xmax uint64
	xip  []uint64 // in progress, ascending
}

// parseSnapshot reads "xmin:xmax:xip,xip,…".
func parseSnapshot(text string) (snapshot, error) {
	var s snapshot
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return s, fmt.Errorf("a snapshot reads %q", text)
	}
	var err error
	if s.xmax, err = strconv.ParseUint(parts[1], 10, 64); err != nil {
		return s, fmt.Errorf("a snapshot reads %q", text)
	}
	for part := range strings.SplitSeq(parts[2], ",") {
		if part == "" {
			continue
		}
		x, err := strconv.ParseUint(part, 10, 64)
		if err != nil {
			return s, fmt.Errorf("a snapshot reads %q", text)
		}
		s.xip = append(s.xip, x)
	}
	slices.Sort(s.xip)
	return s, nil
}

func (s snapshot) running(x uint64) bool {
	_, found := slices.BinarySearch(s.xip, x)
	return found
}

// A question is what a read must look into besides what is new.
type question struct {
	// spans are to be read, ascending: always where of is -1, else if an owner of
	// that generation has ended.
	spans []span
	of    []int64
	// owners are the transactions that generations wait for, each with its
	// generation in waits.
	owners, waits []int64
	// number: the read shall take a transaction number.
	number bool
}

// question returns what the next read must look into.
func (h holes) question() question {
	var q question
	type part struct {
		span
		of int64
	}
	var parts []part
	for i, g := range h {
		of := int64(i)
		if !g.armed {
			of = -1
			q.number = q.number || g.barrier == 0
		}
		for _, s := range g.spans {
			parts = append(parts, part{s, of})
		}
		for _, x := range g.owners {
			q.owners, q.waits = append(q.owners, int64(x)), append(q.waits, of) // #nosec G115 -- numbers of transactions
		}
	}
	slices.SortFunc(parts, func(a, b part) int { return bySpan(a.span, b.span) })
	for _, p := range parts {
		q.spans, q.of = append(q.spans, p.span), append(q.of, p.of)
	}
	return q
}

func bySpan(a, b span) int { return cmp.Compare(a.lo, b.lo) }

// after returns the holes once a read in snapshot s has answered the question. It
// saw the ids in seen, which is ascending, and examined everything up to the id
// end; number is the transaction number that it took, or 0; from is the position
// it began at. What it read, it read in one snapshot: had it looked into some
// holes in a later one, it would see there a message of a transaction whose
// earlier message, in another hole, it did not look for.
func (h holes) after(s snapshot, number uint64, seen []int64, from, end int64) holes {
	var next holes
	for _, g := range h {
		g.spans = without(g.spans, seen)
		if len(g.spans) == 0 {
			continue
		}
		if g = g.after(s, number, g.spans[len(g.spans)-1].hi > end); !g.armed || len(g.owners) > 0 {
			next = next.add(g)
		}
	}
	var missed []span
	last := from
	for _, id := range seen {
		if id <= from {
			continue
		}
		if id > last+1 {
			missed = append(missed, span{last + 1, id - 1})
		}
		last = id
	}
	if missed != nil {
		next = append(next, generation{spans: missed})
	}
	return next.bounded()
}

// after returns the generation after a read; unread says that it did not come to
// all of it. If then nobody is left who may fill it, it was rolled back.
func (g generation) after(s snapshot, number uint64, unread bool) generation {
	switch {
	case g.armed:
		left := make([]uint64, 0, len(g.owners))
		for _, x := range g.owners {
			if s.running(x) {
				left = append(left, x)
			}
		}
		if len(left) < len(g.owners) && unread {
			g.armed, left = false, nil // the rest is part of the next read
		}
		g.owners = left
	case g.barrier == 0:
		g.barrier = number
	case !unread && s.xmax > g.barrier:
		// This very read, in this snapshot, has looked into the holes.
		g.armed = true
		for _, x := range s.xip {
			if x < g.barrier {
				g.owners = append(g.owners, x)
			}
		}
	}
	return g
}

// add appends g, or joins it with one that waits for the same transactions.
func (h holes) add(g generation) holes {
	for i, other := range h {
		if g.armed && other.armed && slices.Equal(g.owners, other.owners) {
			h[i].spans = slices.Concat(other.spans, g.spans)
			slices.SortFunc(h[i].spans, bySpan)
			h[i].barrier = max(g.barrier, other.barrier)
			return h
		}
	}
	return append(h, g)
}

// bounded gives up the oldest holes when there are too many.
func (h holes) bounded() holes {
	total := 0
	for _, g := range h {
		total += len(g.spans)
	}
	for i := range h {
		if total <= mostSpans {
			break
		}
		n := min(total-mostSpans, len(h[i].spans))
		h[i].spans = h[i].spans[n:]
		total -= n
	}
	return slices.DeleteFunc(h, func(g generation) bool { return len(g.spans) == 0 })
}

// prune removes owners that have stored no message, so that a long transaction of
// somebody else keeps nothing. writers are the lower halves of the numbers of
// those that have, as they were before the read that h came from: who is missing
// there and was still running at that read has stored none.
func (h holes) prune(writers map[uint32]bool) holes {
	var next holes
	for _, g := range h {
		if g.armed {
			g.owners = slices.DeleteFunc(slices.Clone(g.owners), func(x uint64) bool { return !writers[uint32(x)] }) // #nosec G115 -- the lower half
			if len(g.owners) == 0 {
				continue
			}
		}
		next = next.add(g)
	}
	return next
}

// waiting counts the spans of generations that wait for somebody.
func (h holes) waiting() int {
	n := 0
	for _, g := range h {
		if g.armed {
			n += len(g.spans)
		}
	}
	return n
}

// without returns the spans less the ids in seen; both are ascending.
func without(spans []span, seen []int64) []span {
	var out []span
	for _, s := range spans {
		i, _ := slices.BinarySearch(seen, s.lo)
		for ; i < len(seen) && seen[i] <= s.hi; i++ {
			if seen[i] > s.lo {
				out = append(out, span{s.lo, seen[i] - 1})
			}
			s.lo = seen[i] + 1
		}
		if s.lo <= s.hi {
			out = append(out, s)
		}
	}
	return out
}
