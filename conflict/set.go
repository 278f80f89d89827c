package conflict

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tectari/dovetail"
)

// Limits of a set: what is larger is parked, so that hostile input costs no more
// than a reason.
const (
	maxSetBytes   = 1 << 20
	maxSetMembers = 10_000
)

// StringSet returns the canonical value of a set of strings: a JSON array,
// sorted by bytes, each member once, without HTML escapes. Endpoints give sets in
// this form, so that two equal sets are equal values. A member that is not UTF-8
// has no JSON form: StringSet then returns false.
func StringSet(members ...string) (dovetail.Value, bool) {
	members = slices.Clone(members)
	slices.Sort(members)
	members = slices.Compact(members)
	var b bytes.Buffer
	b.WriteByte('[')
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for i, m := range members {
		if !utf8.ValidString(m) || enc.Encode(m) != nil {
			return dovetail.Value{}, false
		}
		b.Truncate(b.Len() - 1) // the encoder ends each value with a newline
		if i < len(members)-1 {
			b.WriteByte(',')
		}
	}
	b.WriteByte(']')
	return dovetail.Raw(b.String()), true
}

// SetMerge merges two sets of strings with their base: what one side added is
// added, what one side removed is removed. A set is a Raw value that holds a JSON
// array of strings, best made with StringSet; order and repeats do not count, and
// null is the empty set. It parks without a base, since an addition and a removal
// then look the same, and for anything that is not such a set. Laws:
// deterministic, order-free, makes new values.
func SetMerge() Resolver {
	return build("set-merge", Traits{OrderFree: true, Invents: true}, nil, nil, func(_ context.Context, c Conflict) Decision {
		if d, ok := settled(c); ok {
			return d
		}
		left, okLeft := parseSet(c.Left.Value)
		right, okRight := parseSet(c.Right.Value)
		base, okBase := parseSet(c.Base)
		switch {
		case !okLeft || !okRight:
			return ParkFor("a side is not a set of strings")
		case !okBase:
			return ParkFor("no agreed set is known to merge from")
		}
		merged := mergeSets(base, left, right)
		if len(merged) > maxSetMembers {
			return ParkFor("the merged set is too large")
		}
		value, ok := StringSet(merged...)
		if !ok || len(value.Text()) > maxSetBytes {
			return ParkFor("the merged set is too large")
		}
		const why = "what each side added and removed is kept"
		for _, s := range []Side{c.Left, c.Right} {
			if s.Value == value {
				return Take(s, why)
			}
		}
		if len(merged) == 0 { // a side that says "none" with null need not change
			for _, s := range []Side{c.Left, c.Right} {
				if s.Value.IsNull() {
					return Take(s, why)
				}
			}
		}
		return Set(value, why)
	})
}

// mergeSets returns the members that both sides have, and those that one side
// has and the base had not.
func mergeSets(base, left, right map[string]bool) []string {
	var merged []string
	for m := range left {
		if right[m] || !base[m] {
			merged = append(merged, m)
		}
	}
	for m := range right {
		if !left[m] && !base[m] {
			merged = append(merged, m)
		}
	}
	return merged
}

// parseSet reads a set of strings, and returns false for anything else: not
// known, not strings, too large, or with text that JSON would change silently.
func parseSet(v dovetail.Value) (map[string]bool, bool) {
	if v.IsNull() {
		return map[string]bool{}, true
	}
	text := v.Text()
	if v.Kind() != dovetail.KindRaw || len(text) > maxSetBytes || !utf8.ValidString(text) {
		return nil, false
	}
	// Pointers, because a null in the array would else read as "".
	var members []*string
	if json.Unmarshal([]byte(text), &members) != nil || members == nil || len(members) > maxSetMembers {
		return nil, false
	}
	set := make(map[string]bool, len(members))
	for _, m := range members {
		if m == nil || strings.ContainsRune(*m, utf8.RuneError) {
			return nil, false // half a surrogate pair decodes to this
		}
		set[*m] = true
	}
	return set, true
}
