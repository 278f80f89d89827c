package conflict

import (
	"maps"
	"slices"

	"github.com/tectari/dovetail"
)

// StateMachine takes the state that is further along: the one that can be reached
// from the other by edges (from a state to those that may follow it), never
// backwards. It hands on to otherwise, which is required, when neither or each
// can be reached from the other, when a state is not in edges or is no string,
// and when the state it would take lies behind the base. Laws: deterministic,
// order-free, takes a side.
func StateMachine(edges map[string][]string, otherwise Resolver) Resolver {
	var faults []string
	if len(edges) == 0 {
		faults = append(faults, `no edges are given; write what may follow what: {"open": {"paid"}}`)
	}
	after := closure(edges)
	return orElse("state-machine", Traits{OrderFree: true}, otherwise, faults, func(c Conflict) (Decision, string) {
		state := func(v dovetail.Value) (string, bool) {
			_, known := after[v.Text()]
			return v.Text(), known && v.Kind() == dovetail.KindString
		}
		left, okLeft := state(c.Left.Value)
		right, okRight := state(c.Right.Value)
		if !okLeft || !okRight {
			return Decision{}, "a state is not known"
		}
		winner, word := c.Right, right
		switch l, r := after[right][left], after[left][right]; {
		case l && r:
			return Decision{}, "each state may follow the other"
		case !l && !r:
			return Decision{}, "neither state may follow the other"
		case l:
			winner, word = c.Left, left
		}
		if base, ok := state(c.Base); ok && base != word && !after[base][word] {
			return Decision{}, "the state would go backwards"
		}
		return Take(winner, said(winner)+" is further along"), ""
	})
}

// closure returns for each state all that can be reached from it.
func closure(edges map[string][]string) map[string]map[string]bool {
	after := map[string]map[string]bool{}
	for from, next := range edges {
		for _, s := range append([]string{from}, next...) {
			if after[s] == nil {
				after[s] = map[string]bool{}
			}
		}
	}
	for _, from := range slices.Collect(maps.Keys(after)) {
		queue := slices.Clone(edges[from])
		for len(queue) > 0 {
			s := queue[0]
			queue = queue[1:]
			if !after[from][s] {
				after[from][s] = true
				queue = append(queue, edges[s]...)
			}
		}
	}
	return after
}
