package conflict

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tectari/dovetail"
)

// Park decides nothing: each conflict waits for a person. Laws: deterministic,
// order-free.
func Park() Resolver {
	return build("park", Traits{OrderFree: true}, nil, nil, func(context.Context, Conflict) Decision {
		return ParkFor("a person decides")
	})
}

// Prefer takes the side whose system stands first in order; a system that is not
// named stands after all that are. It parks when neither side is named. At least
// one system is required, each once. Laws: deterministic, order-free, takes a
// side.
func Prefer(order ...dovetail.System) Resolver {
	order = slices.Clone(order)
	var faults []string
	if len(order) == 0 {
		faults = append(faults, `no system is named; write whom to believe: conflict.Prefer("crm")`)
	}
	for i, s := range order {
		switch {
		case s == "":
			faults = append(faults, "a system has no name")
		case slices.Index(order, s) < i:
			faults = append(faults, string(s)+" is named twice")
		}
	}
	rank := func(s Side) int {
		if i := slices.Index(order, s.System); i >= 0 {
			return i
		}
		return len(order)
	}
	return build("prefer", Traits{OrderFree: true}, nil, faults, func(_ context.Context, c Conflict) Decision {
		if d, ok := settled(c); ok {
			return d
		}
		switch l, r := rank(c.Left), rank(c.Right); {
		case l < r:
			return Take(c.Left, said(c.Left)+" is preferred to "+said(c.Right))
		case r < l:
			return Take(c.Right, said(c.Right)+" is preferred to "+said(c.Left))
		case l < len(order):
			return ParkFor("both values came from " + said(c.Left))
		default:
			return ParkFor("neither " + said(c.Left) + " nor " + said(c.Right) + " is preferred")
		}
	})
}

// Latest takes the side that changed last. The times are from two clocks: it
// hands on to otherwise when they are skew or less apart, or when a side gives no
// time (the zero time, or 1970 and before, which is what an empty number reads
// as). A clock that is wrong by more than skew wins wrongly; no resolver can see
// that. A skew above zero and otherwise are required. Laws: deterministic,
// order-free, takes a side, reads clocks.
func Latest(skew time.Duration, otherwise Resolver) Resolver {
	return byTime("latest", skew, otherwise, func(a, b time.Time) bool { return a.After(b) })
}

// Oldest takes the side that changed first, with the caution and the
// requirements of Latest. Laws: those of Latest.
func Oldest(skew time.Duration, otherwise Resolver) Resolver {
	return byTime("oldest", skew, otherwise, func(a, b time.Time) bool { return a.Before(b) })
}

func byTime(name string, skew time.Duration, otherwise Resolver, wins func(a, b time.Time) bool) Resolver {
	var faults []string
	if skew <= 0 {
		faults = append(faults, fmt.Sprintf("a skew of %s cannot be promised between two clocks; write how far they may be apart: 2*time.Minute", skew))
	}
	return orElse(name, Traits{OrderFree: true, ReadsClock: true}, otherwise, faults, func(c Conflict) (Decision, string) {
		l, r := c.Left, c.Right
		for _, s := range []Side{l, r} {
			if s.At.Unix() <= 0 {
				return Decision{}, "no time is known for one side"
			}
		}
		gap := l.At.Sub(r.At)
		if r.At.After(l.At) {
			gap = r.At.Sub(l.At) // not -gap: the least Duration has no opposite
		}
		if gap <= skew {
			return Decision{}, "the two changes are within the clock skew"
		}
		if wins(l.At, r.At) {
			return Take(l, said(l)+" has the "+name+" change"), ""
		}
		return Take(r, said(r)+" has the "+name+" change"), ""
	})
}

// NonEmpty takes the side that is not empty, so that blanks are filled and a
// value is never cleared by a blank. Of null and the empty string it takes null.
// Two values go to otherwise, which is required. Laws: deterministic, order-free,
// takes a side.
func NonEmpty(otherwise Resolver) Resolver {
	return orElse("non-empty", Traits{OrderFree: true}, otherwise, nil, func(c Conflict) (Decision, string) {
		l, r := c.Left, c.Right
		switch {
		case l.Value.IsEmpty() && r.Value.IsEmpty():
			if l.Value.IsNull() {
				return Take(l, "both are empty"), ""
			}
			return Take(r, "both are empty"), ""
		case r.Value.IsEmpty():
			return Take(l, "the other side is empty"), ""
		case l.Value.IsEmpty():
			return Take(r, "the other side is empty"), ""
		default:
			return Decision{}, "both sides have a value"
		}
	})
}

// WriteOnce keeps the first value: the side that still shows what both agreed on,
// or, where they had agreed on nothing, the only one that is not empty. It hands
// on to otherwise, which is required, when both sides moved from the base, or
// both gave a first value. Laws: deterministic, order-free, takes a side.
func WriteOnce(otherwise Resolver) Resolver {
	return orElse("write-once", Traits{OrderFree: true}, otherwise, nil, func(c Conflict) (Decision, string) {
		l, r := c.Left, c.Right
		written := !c.Base.IsEmpty()
		switch {
		case written && l.Value == c.Base:
			return Take(l, "it was written before and stays"), ""
		case written && r.Value == c.Base:
			return Take(r, "it was written before and stays"), ""
		case written:
			return Decision{}, "both sides changed what may be written once"
		case l.Value.IsEmpty() && !r.Value.IsEmpty():
			return Take(r, "it is the first value"), ""
		case r.Value.IsEmpty() && !l.Value.IsEmpty():
			return Take(l, "it is the first value"), ""
		default:
			return Decision{}, "both sides gave a first value"
		}
	})
}

// Majority takes the value that more than half of the systems show, of three at
// least. Systems that say nothing do not count. Without such a value it hands on
// to otherwise, which is required. Laws: deterministic, order-free, takes a side.
func Majority(otherwise Resolver) Resolver {
	return orElse("majority", Traits{OrderFree: true}, otherwise, nil, func(c Conflict) (Decision, string) {
		if c.Left.System != "" && c.Left.System == c.Right.System {
			return Decision{}, "both values came from " + said(c.Left)
		}
		votes := voters(c)
		if len(votes) < 3 {
			return Decision{}, fmt.Sprintf("%d systems are no majority", len(votes))
		}
		for _, v := range votes {
			n := 0
			for _, w := range votes {
				if w.Value == v.Value {
					n++
				}
			}
			if 2*n > len(votes) {
				return Take(v, fmt.Sprintf("%d of %d systems show it", n, len(votes))), ""
			}
		}
		return Decision{}, "no value has a majority"
	})
}

// voters returns one side for each system that says something, in the order of
// their names: the order in which they were listed must not matter. Left and
// Right are newer than what Sides repeats of them.
func voters(c Conflict) []Side {
	var votes []Side
	for _, s := range append([]Side{c.Right, c.Left}, c.Sides...) {
		known := func(v Side) bool { return v.System == s.System }
		if s.System != "" && !s.Value.IsAbsent() && !slices.ContainsFunc(votes, known) {
			votes = append(votes, s)
		}
	}
	slices.SortFunc(votes, func(a, b Side) int {
		switch {
		case a.System < b.System:
			return -1
		case a.System > b.System:
			return 1
		default:
			return 0
		}
	})
	return votes
}
