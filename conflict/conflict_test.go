package conflict_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/conflict"
	"github.com/tectari/dovetail/conflict/conflicttest"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// dec is a decimal that the test knows to be one.
func dec(t *testing.T, text string) dovetail.Value {
	t.Helper()
	v, err := dovetail.Decimal(text)
	require.NoError(t, err)
	return v
}

func str(s string) dovetail.Value { return dovetail.String(s) }

// pair is a conflict between crm (left) and shop (right).
func pair(base, left, right dovetail.Value) conflict.Conflict {
	c := conflict.Conflict{
		Link: "customers", Key: "1", Field: "phone", Base: base,
		Left:  conflict.Side{System: "crm", Value: left, At: noon},
		Right: conflict.Side{System: "shop", Value: right, At: noon.Add(time.Hour)},
	}
	c.Sides = []conflict.Side{c.Left, c.Right}
	return c
}

// swapped exchanges Left and Right.
func swapped(c conflict.Conflict) conflict.Conflict {
	c.Left, c.Right = c.Right, c.Left
	return c
}

func resolvers() map[string]conflict.Resolver {
	park := conflict.Park()
	return map[string]conflict.Resolver{
		"park":          park,
		"prefer":        conflict.Prefer("shop", "crm"),
		"latest":        conflict.Latest(time.Minute, park),
		"latest-prefer": conflict.Latest(time.Minute, conflict.Prefer("erp")),
		"oldest":        conflict.Oldest(time.Minute, park),
		"max":           conflict.Max(park),
		"min":           conflict.Min(conflict.Prefer("erp", "crm")),
		"non-empty":     conflict.NonEmpty(conflict.Latest(time.Minute, park)),
		"write-once":    conflict.WriteOnce(park),
		"majority":      conflict.Majority(park),
		"counter":       conflict.Counter(),
		"state-machine": conflict.StateMachine(map[string][]string{"open": {"paid", "void"}, "paid": {"sent"}, "sent": {"paid"}}, park),
		"set-merge":     conflict.SetMerge(),
		"text3":         conflict.Text3(),
		"first":         conflict.First(conflict.Counter(), conflict.SetMerge(), conflict.Text3(), conflict.Majority(park)),
		"when":          conflict.When(func(c conflict.Conflict) bool { return c.Field == "field" }, conflict.NonEmpty(park)),
		"by-field":      conflict.ByField(map[string]conflict.Resolver{"field": conflict.Max(park)}, park),
	}
}

func TestBuiltinsKeepTheLaws(t *testing.T) {
	t.Parallel()
	for name, r := range resolvers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.True(t, conflict.TraitsOf(r).OrderFree)
			for seed := range uint64(2) {
				conflicttest.Laws(t, r, conflicttest.Config{
					Seed:   seed,
					Runs:   1000,
					Values: []dovetail.Value{str("open"), str("paid"), str("sent"), str("void"), str("lost"), str("a\nb\n"), str("a\nc\n")},
				})
			}
		})
	}
}

func TestBuiltinsTakeTheSideThatSpeaks(t *testing.T) {
	t.Parallel()
	for name, r := range resolvers() {
		if name == "park" || name == "counter" {
			continue // one decides nothing, the other needs both numbers
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := pair(dovetail.Value{}, str("a"), dovetail.Value{})
			c.Field = "field"
			for _, c := range []conflict.Conflict{c, swapped(c)} {
				d := conflict.Decide(t.Context(), r, c)
				require.Equal(t, conflict.Taken, d.Verdict, d.Why)
				require.Equal(t, str("a"), d.Value)
			}
			d := conflict.Decide(t.Context(), r, pair(str("a"), dovetail.Value{}, dovetail.Value{}))
			require.Equal(t, conflict.Parked, d.Verdict)
		})
	}
}

func TestResolverThatIsBuiltWronglyParksAllAndSaysSo(t *testing.T) {
	t.Parallel()
	park := conflict.Park()
	var none conflict.Func
	for name, r := range map[string]conflict.Resolver{
		"prefer nobody":                    conflict.Prefer(),
		"prefer: a system has no name":     conflict.Prefer("crm", ""),
		"prefer: crm is named twice":       conflict.Prefer("crm", "crm"),
		"latest: a skew of 0s":             conflict.Latest(0, park),
		"latest: a skew of -1s":            conflict.Latest(-time.Second, park),
		"latest: no resolver":              conflict.Latest(time.Minute, nil),
		"oldest: a skew":                   conflict.Oldest(0, park),
		"oldest: no resolver":              conflict.Oldest(time.Minute, nil),
		"max: no resolver":                 conflict.Max(nil),
		"min: no resolver":                 conflict.Min(nil),
		"non-empty: no resolver":           conflict.NonEmpty(nil),
		"write-once: no resolver":          conflict.WriteOnce(nil),
		"majority: no resolver":            conflict.Majority(nil),
		"majority: no resolver is":         conflict.Majority(none),
		"state-machine: no edges":          conflict.StateMachine(nil, park),
		"state-machine: no resolver":       conflict.StateMachine(map[string][]string{"a": {"b"}}, nil),
		"first: no resolver is given":      conflict.First(),
		"first: no resolver is given ":     conflict.First(park, nil),
		"when: no condition":               conflict.When(nil, park),
		"when: no resolver":                conflict.When(func(conflict.Conflict) bool { return true }, nil),
		`by-field: field "b": no resolver`: conflict.ByField(map[string]conflict.Resolver{"b": nil}, park),
		"by-field: no resolver":            conflict.ByField(nil, nil),
		"first: max: latest: a skew of 0s": conflict.First(conflict.Max(conflict.Latest(0, park))),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := conflict.CheckOf(r)
			require.Error(t, err)
			if name != "prefer nobody" {
				require.Contains(t, err.Error(), strings.TrimSpace(name))
			}
			d := conflict.Decide(t.Context(), r, pair(str("x"), str("a"), str("b")))
			require.Equal(t, conflict.Parked, d.Verdict)
			require.Contains(t, d.Why, "not set up")
		})
	}
	require.NoError(t, conflict.CheckOf(park))
	require.Error(t, conflict.CheckOf(nil))
	require.NoError(t, conflict.CheckOf(conflict.Func(func(context.Context, conflict.Conflict) (conflict.Decision, error) { return conflict.ParkFor("x"), nil })))
}

// typed is a resolver whose methods read through its pointer.
type typed struct{ d conflict.Decision }

func (r *typed) Resolve(context.Context, conflict.Conflict) (conflict.Decision, error) {
	return r.d, nil
}
func (r *typed) Name() string { return "typed " + r.d.Why }

func TestDecideAlwaysComesBackWithADecision(t *testing.T) {
	t.Parallel()
	secret := "0049-170-SECRET"
	c := pair(str("x-base"), str(secret), str("b-other"))
	answer := func(d conflict.Decision, err error) conflict.Resolver {
		return conflict.Func(func(context.Context, conflict.Conflict) (conflict.Decision, error) { return d, err })
	}
	var none conflict.Func
	var null *typed
	for name, tc := range map[string]struct {
		r   conflict.Resolver
		why string
	}{
		"nil":             {nil, "there is no resolver"},
		"nil func":        {none, "there is no resolver"},
		"nil pointer":     {null, "panicked"},
		"zero decision":   {answer(conflict.Decision{}, nil), conflict.ErrUndecided.Error()},
		"error":           {answer(conflict.Decision{}, errors.New("the table is missing")), "the table is missing"},
		"error wins":      {answer(conflict.Take(c.Left, "x"), errors.New("the table is missing")), "the table is missing"},
		"panic":           {conflict.Func(func(context.Context, conflict.Conflict) (conflict.Decision, error) { panic(secret) }), "panicked (string)"},
		"unknown verdict": {answer(conflict.Decision{Verdict: 9, Value: str("x")}, nil), "unknown verdict"},
		"absent taken":    {answer(conflict.Decision{Verdict: conflict.Taken, System: "crm"}, nil), "says nothing"},
		"absent new":      {answer(conflict.Set(dovetail.Value{}, "x"), nil), "says nothing"},
		"foreign value":   {answer(conflict.Decision{Verdict: conflict.Taken, System: "crm", Value: str("b-other")}, nil), "does not show"},
		"foreign system":  {answer(conflict.Decision{Verdict: conflict.Taken, System: "erp", Value: str(secret)}, nil), "does not show"},
		"parked, no why":  {answer(conflict.ParkFor(""), nil), "it gave no reason"},
		"leaks":           {answer(conflict.Decision{}, fmt.Errorf("%q is no phone number", secret)), `"[value]" is no phone number`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := conflict.Decide(t.Context(), tc.r, c)
			require.Equal(t, conflict.Parked, d.Verdict)
			require.Contains(t, d.Why, tc.why)
			require.NotContains(t, d.Why, secret)
			require.NotEmpty(t, d.By)
			require.True(t, d.Value.IsAbsent())
		})
	}
}

func TestDecideKeepsWhatIsSound(t *testing.T) {
	t.Parallel()
	c := pair(dovetail.Value{}, str("a"), str("b"))
	c.Sides = append(c.Sides, conflict.Side{System: "erp", Value: str("c")})
	for _, s := range c.Sides {
		d := conflict.Decide(t.Context(), conflict.Func(func(context.Context, conflict.Conflict) (conflict.Decision, error) {
			return conflict.Take(s, "why not"), nil
		}), c)
		require.Equal(t, conflict.Decision{Verdict: conflict.Taken, System: s.System, Value: s.Value, Why: "why not", By: "func"}, d)
	}
	d := conflict.Decide(t.Context(), &typed{d: conflict.Set(dovetail.Null(), "cleared")}, c)
	require.Equal(t, conflict.Decision{Verdict: conflict.New, Value: dovetail.Null(), Why: "cleared", By: "typed cleared"}, d)
}

func TestReasonsHoldNoValues(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 600)
	for name, tc := range map[string]struct{ value, why, want dovetail.Value }{
		"whole word":     {str("a"), str("a is a bad value"), str("[value] is [value] bad value")},
		"not in a word":  {str("cat"), str("concatenation of cats"), str("concatenation of cats")},
		"long in a word": {str("cat-dog"), str("xcat-dogx"), str("x[value]x")},
		"escaped":        {str("two\nlines"), str(`"two\nlines" is bad`), str(`"[value]" is bad`)},
		"number":         {dovetail.Int(1250), str("1250 above 12500"), str("[value] above 12500")},
		"blank":          {str(" "), str("a b"), str("a b")},
		"bounded":        {str("zzz"), str(long), str(strings.Repeat("é", 250) + "…")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := conflict.Func(func(context.Context, conflict.Conflict) (conflict.Decision, error) {
				return conflict.ParkFor(tc.why.Text()), nil
			})
			d := conflict.Decide(t.Context(), r, pair(dovetail.Value{}, tc.value, dovetail.Null()))
			require.Equal(t, tc.want.Text(), d.Why)
		})
	}
}

func TestVerdictStrings(t *testing.T) {
	t.Parallel()
	for v, want := range map[conflict.Verdict]string{conflict.Undecided: "undecided", conflict.Taken: "taken", conflict.New: "new", conflict.Parked: "parked", 9: "undecided"} {
		require.Equal(t, want, v.String())
	}
	require.Equal(t, "customers/1", pair(str("x"), str("a"), str("b")).Ref())
	require.Equal(t, "none", conflict.NameOf(nil))
	require.Equal(t, "latest", conflict.NameOf(conflict.Latest(1, nil)))
}
