package conflict

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tectari/dovetail"
)

// Decide asks r about c and always comes back with a Decision that can be
// carried out. An error, a panic, the zero Decision, a side that does not say
// what was taken from it, or an absent value is parked, with the reason. The
// reason holds no value of the conflict, even where the resolver wrote one in.
// By is the resolver's name unless it filled that in. Decide may be called
// concurrently.
func Decide(ctx context.Context, r Resolver, c Conflict) (d Decision) {
	name := NameOf(r)
	defer func() {
		if p := recover(); p != nil {
			// The type only: the text of a panic may quote a value.
			d = ParkFor(fmt.Sprintf("the resolver panicked (%T)", p))
		}
		if d.By == "" {
			d.By = name
		}
		if d.Why == "" {
			d.Why = "it gave no reason"
		}
		d.Why = scrub(d.Why, c)
	}()
	if isNil(r) {
		return ParkFor("there is no resolver")
	}
	d, err := r.Resolve(ctx, c)
	if err != nil {
		return ParkFor(err.Error())
	}
	switch {
	case d.Verdict == Undecided:
		return ParkFor(ErrUndecided.Error())
	case d.Verdict > Parked:
		return ParkFor("the resolver gave an unknown verdict")
	case d.Verdict == Parked:
		d.System, d.Value = "", dovetail.Value{}
	case d.Value.IsAbsent():
		return ParkFor("the resolver chose a value that says nothing")
	case d.Verdict == Taken && !shown(d, c):
		return ParkFor("the resolver took what that side does not show")
	case d.Verdict == New:
		d.System = ""
	}
	return d
}

// shown reports whether a side of c says what d took from it.
func shown(d Decision, c Conflict) bool {
	if d.System == c.Left.System && d.Value == c.Left.Value || d.System == c.Right.System && d.Value == c.Right.Value {
		return true
	}
	for _, s := range c.Sides {
		if d.System == s.System && d.Value == s.Value {
			return true
		}
	}
	return false
}

// isNil reports whether r is no resolver at all.
func isNil(r Resolver) bool {
	if f, ok := r.(Func); ok {
		return f == nil
	}
	return r == nil
}

// NameOf returns what r's decisions are signed with: its Name method, or else
// its type. It is "none" for nil.
func NameOf(r Resolver) (name string) {
	if isNil(r) {
		return "none"
	}
	name = fmt.Sprintf("%T", r)
	if _, ok := r.(Func); ok {
		name = "func"
	}
	defer func() {
		if recover() != nil {
			name = fmt.Sprintf("%T", r) // a nil pointer in an interface
		}
	}()
	if n, ok := r.(interface{ Name() string }); ok {
		if s := n.Name(); s != "" {
			name = s
		}
	}
	return name
}

// maxWhy bounds a reason, in bytes.
const maxWhy = 500

// scrub takes the values of c out of a reason and bounds its length.
func scrub(why string, c Conflict) string {
	hide := func(v dovetail.Value) {
		if k := v.Kind(); k <= dovetail.KindBool {
			return
		}
		text := v.Text()
		why = cut(why, text)
		if quoted := strconv.Quote(text); quoted[1:len(quoted)-1] != text {
			why = cut(why, quoted[1:len(quoted)-1])
		}
	}
	hide(c.Base)
	hide(c.Left.Value)
	hide(c.Right.Value)
	for _, s := range c.Sides {
		hide(s.Value)
	}
	if len(why) > maxWhy {
		end := maxWhy
		for end > 0 && !utf8.RuneStart(why[end]) {
			end--
		}
		why = why[:end] + "…"
	}
	return why
}

// hidden stands where a value stood.
const hidden = "[value]"

// cut replaces value wherever it stands in why as words of its own: a value "a"
// must not make a hole in every word.
func cut(why, value string) string {
	if strings.TrimSpace(value) == "" {
		return why
	}
	first, _ := utf8.DecodeRuneInString(value)
	last, _ := utf8.DecodeLastRuneInString(value)
	var b strings.Builder
	before := ' '
	for rest := why; ; {
		i := strings.Index(rest, value)
		if i < 0 {
			b.WriteString(rest)
			return b.String()
		}
		if i > 0 {
			before, _ = utf8.DecodeLastRuneInString(rest[:i])
		}
		after, _ := utf8.DecodeRuneInString(rest[i+len(value):])
		alone := len(value) >= 6 || !(inWord(before) && inWord(first)) && !(inWord(last) && inWord(after))
		if alone {
			b.WriteString(rest[:i])
			b.WriteString(hidden)
			rest, before = rest[i+len(value):], last
			continue
		}
		_, size := utf8.DecodeRuneInString(rest[i:])
		b.WriteString(rest[:i+size])
		before, rest = first, rest[i+size:]
	}
}

func inWord(r rune) bool { return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r)) }
