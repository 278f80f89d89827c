package conflict

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// First asks each resolver in turn and takes the first answer that does not
// park. When all park, so does it, with all their reasons. At least one is
// required, and none may be nil. Laws: those that hold for each of them.
func First(resolvers ...Resolver) Resolver {
	resolvers = slices.Clone(resolvers)
	var faults []string
	if len(resolvers) == 0 {
		faults = append(faults, "no resolver is given; write conflict.Park() to ask a person")
	}
	return build("first", Traits{OrderFree: true}, resolvers, faults, func(ctx context.Context, c Conflict) Decision {
		var whys []string
		for _, r := range resolvers {
			d := Decide(ctx, r, c)
			if d.Verdict != Parked {
				return d
			}
			whys = append(whys, d.By+": "+d.Why)
		}
		return ParkFor(strings.Join(whys, "; "))
	})
}

// When asks r where applies reports true, and parks all else: put it into First.
// The function must be deterministic and safe for concurrent use, and should not
// tell Left from Right. Both are required. Laws: those of r, as far as they hold
// for the function too.
func When(applies func(Conflict) bool, r Resolver) Resolver {
	var faults []string
	if applies == nil {
		faults = append(faults, "no condition is given")
	}
	return build("when", Traits{OrderFree: true}, []Resolver{r}, faults, func(ctx context.Context, c Conflict) Decision {
		if !applies(c) {
			return ParkFor("the condition does not hold")
		}
		return Decide(ctx, r, c)
	})
}

// ByField asks the resolver of the conflict's field, and otherwise for every
// other field. It keeps no reference to the map. Otherwise is required, and none
// may be nil. Laws: those that hold for each of them.
func ByField(fields map[string]Resolver, otherwise Resolver) Resolver {
	fields = maps.Clone(fields)
	var faults []string
	var good []Resolver
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if err := CheckOf(fields[name]); err != nil {
			faults = append(faults, fmt.Sprintf("field %q: %s", name, err))
			continue
		}
		good = append(good, fields[name])
	}
	return build("by-field", Traits{OrderFree: true}, append(good, otherwise), faults, func(ctx context.Context, c Conflict) Decision {
		if r, ok := fields[c.Field]; ok {
			return Decide(ctx, r, c)
		}
		return Decide(ctx, otherwise, c)
	})
}
