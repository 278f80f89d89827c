package conflict

import (
	"context"
	"slices"
	"strings"

	"github.com/tectari/dovetail"
)

// Limits of a text merge: what is larger is parked.
const (
	maxTextBytes = 1 << 20
	maxTextCells = 1 << 20 // changed lines of the base × changed lines of a side
)

// Text3 merges two texts line by line with their base. Where both sides changed
// the same lines, or lines that touch, it parks: no conflict marks are ever
// written into a value. It parks too without a base, for anything but strings,
// and for texts above 1 MiB. A base of null is the empty text. Laws:
// deterministic, order-free, makes new values.
func Text3() Resolver {
	return build("text3", Traits{OrderFree: true, Invents: true}, nil, nil, func(_ context.Context, c Conflict) Decision {
		if d, ok := settled(c); ok {
			return d
		}
		if c.Left.Value.Kind() != dovetail.KindString || c.Right.Value.Kind() != dovetail.KindString {
			return ParkFor("a side is not a text")
		}
		if c.Base.Kind() != dovetail.KindString && !c.Base.IsNull() {
			return ParkFor("no agreed text is known to merge from")
		}
		merged, why := merge3(c.Base.Text(), c.Left.Value.Text(), c.Right.Value.Text())
		if why != "" {
			return ParkFor(why)
		}
		const reason = "both sides changed different lines"
		switch value := dovetail.String(merged); value {
		case c.Left.Value:
			return Take(c.Left, reason)
		case c.Right.Value:
			return Take(c.Right, reason)
		default:
			return Set(value, reason)
		}
	})
}

// edit replaces the lines from..to of the base.
type edit struct {
	from, to int
	lines    []string
}

func (e edit) same(f edit) bool {
	return e.from == f.from && e.to == f.to && slices.Equal(e.lines, f.lines)
}

// merge3 applies the edits of both sides to the base, or says why it cannot.
func merge3(base, left, right string) (merged, why string) {
	if max(len(base), len(left), len(right)) > maxTextBytes {
		return "", "the text is too long to merge"
	}
	lines := splitLines(base)
	ls, okLeft := diff(lines, splitLines(left))
	rs, okRight := diff(lines, splitLines(right))
	if !okLeft || !okRight {
		return "", "the texts differ too much to merge"
	}
	var b strings.Builder
	at := 0
	for len(ls) > 0 || len(rs) > 0 {
		var next edit
		switch {
		case len(rs) == 0 || len(ls) > 0 && ls[0].to < rs[0].from:
			next, ls = ls[0], ls[1:]
		case len(ls) == 0 || rs[0].to < ls[0].from:
			next, rs = rs[0], rs[1:]
		case ls[0].same(rs[0]):
			next, ls, rs = ls[0], ls[1:], rs[1:]
		default:
			return "", "both sides changed the same lines"
		}
		for _, l := range lines[at:next.from] {
			b.WriteString(l)
		}
		for _, l := range next.lines {
			b.WriteString(l)
		}
		at = next.to
	}
	for _, l := range lines[at:] {
		b.WriteString(l)
	}
	return b.String(), ""
}

// splitLines cuts a text after each newline. Joined, the lines are the text.
func splitLines(s string) []string {
	lines := strings.SplitAfter(s, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// diff returns the edits that make b of a, in order, with at least one unchanged
// line between two of them. It returns false when the changed parts are too
// large to compare.
func diff(a, b []string) ([]edit, bool) {
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	x, y := a[head:len(a)-tail], b[head:len(b)-tail]
	if len(x) == 0 && len(y) == 0 {
		return nil, true
	}
	if len(x) > 0 && len(y) > maxTextCells/len(x) {
		return nil, false
	}
	common := longest(x, y)
	width := len(y) + 1
	var edits []edit
	for i, j := 0, 0; i < len(x) || j < len(y); {
		if i < len(x) && j < len(y) && x[i] == y[j] {
			i, j = i+1, j+1
			continue
		}
		e := edit{from: head + i}
		k := j
		for (i < len(x) || j < len(y)) && !(i < len(x) && j < len(y) && x[i] == y[j]) {
			if j == len(y) || i < len(x) && common[(i+1)*width+j] >= common[i*width+j+1] {
				i++
			} else {
				j++
			}
		}
		e.to, e.lines = head+i, y[k:j]
		edits = append(edits, e)
	}
	return edits, true
}

// longest returns, for each i and j, the length of the longest common
// subsequence of x[i:] and y[j:].
func longest(x, y []string) []int32 {
	width := len(y) + 1
	table := make([]int32, (len(x)+1)*width)
	for i := len(x) - 1; i >= 0; i-- { //nolint:modernize // the rewrite shadows one value by the other
		for j := len(y) - 1; j >= 0; j-- { //nolint:modernize // as above
			if x[i] == y[j] {
				table[i*width+j] = table[(i+1)*width+j+1] + 1
			} else {
				table[i*width+j] = max(table[(i+1)*width+j], table[i*width+j+1])
			}
		}
	}
	return table
}
