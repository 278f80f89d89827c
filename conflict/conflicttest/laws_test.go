package conflicttest

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/conflict"
)

// promising is a resolver with traits.
type promising struct {
	conflict.Func
	traits conflict.Traits
}

func (p promising) Traits() conflict.Traits { return p.traits }

// unready is a resolver that was built wrongly.
type unready struct{ conflict.Func }

func (unready) Check() error { return errors.New("a table is missing") }

// Each law is broken once, and found.
func TestLawsFindEachBreach(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	var wrote atomic.Bool
	for law, r := range map[string]conflict.Resolver{
		"ready: no resolver is given": nil,
		"ready: a table is missing":   unready{},
		"parks: it returned the error": conflict.Func(func(_ context.Context, c conflict.Conflict) (conflict.Decision, error) {
			if c.Left.Value.Kind() != dovetail.KindString {
				return conflict.Decision{}, errors.New("not a string")
			}
			return conflict.ParkFor("x"), nil
		}),
		"parks: it panicked": conflict.Func(func(context.Context, conflict.Conflict) (conflict.Decision, error) { panic("no") }),
		"parks: it decided nothing": conflict.Func(func(_ context.Context, c conflict.Conflict) (conflict.Decision, error) {
			if c.Base.IsNull() {
				return conflict.Decision{}, nil
			}
			return conflict.ParkFor("x"), nil
		}),
		"deterministic: asked again": conflict.Func(func(context.Context, conflict.Conflict) (conflict.Decision, error) {
			return conflict.ParkFor(strings.Repeat("x", 1+int(calls.Add(1)%7))), nil
		}),
		"deterministic: with Sides in another order": conflict.Func(func(_ context.Context, c conflict.Conflict) (conflict.Decision, error) {
			if len(c.Sides) == 0 || c.Sides[0].Value.IsAbsent() {
				return conflict.ParkFor("x"), nil
			}
			return conflict.Take(c.Sides[0], "first"), nil
		}),
		"honest: it took": conflict.Func(func(_ context.Context, c conflict.Conflict) (conflict.Decision, error) {
			return conflict.Decision{Verdict: conflict.Taken, System: c.Left.System, Value: dovetail.Int(42), Why: "x"}, nil
		}),
		"honest: it made a new value": conflict.Func(func(context.Context, conflict.Conflict) (conflict.Decision, error) {
			return conflict.Set(dovetail.Int(42), "x"), nil
		}),
		"honest: it made a value that says nothing": promising{func(context.Context, conflict.Conflict) (conflict.Decision, error) {
			return conflict.Set(dovetail.Value{}, "x"), nil
		}, conflict.Traits{Invents: true}},
		"idempotent: ": promising{func(_ context.Context, c conflict.Conflict) (conflict.Decision, error) {
			n, ok := c.Left.Value.Int()
			if !ok {
				return conflict.ParkFor("x"), nil
			}
			return conflict.Set(dovetail.Int(n/2+1), "x"), nil
		}, conflict.Traits{Invents: true}},
		"order-free: ": promising{func(_ context.Context, c conflict.Conflict) (conflict.Decision, error) {
			if c.Left.Value.IsAbsent() {
				return conflict.ParkFor("x"), nil
			}
			return conflict.Take(c.Left, "left"), nil
		}, conflict.Traits{OrderFree: true}},
		"says why: ": conflict.Func(func(context.Context, conflict.Conflict) (conflict.Decision, error) { return conflict.ParkFor(""), nil }),
		"says why, without values: ": conflict.Func(func(_ context.Context, c conflict.Conflict) (conflict.Decision, error) {
			return conflict.ParkFor("bad: " + c.Right.Value.Text()), nil
		}),
		"leaves the conflict alone: ": conflict.Func(func(_ context.Context, c conflict.Conflict) (conflict.Decision, error) {
			if len(c.Sides) > 0 && wrote.CompareAndSwap(false, true) {
				c.Sides[0].By = "me"
			}
			return conflict.ParkFor("x"), nil
		}),
	} {
		t.Run(law, func(t *testing.T) {
			t.Parallel()
			found := broken(r, Config{Runs: 300})
			require.NotEmpty(t, found)
			for _, f := range found {
				if strings.HasPrefix(f, law) {
					return
				}
			}
			require.Fail(t, "another law was found broken", "%q", found)
		})
	}
}

// The same seed makes the same conflicts, another seed others.
func TestConflictsRepeat(t *testing.T) {
	t.Parallel()
	draw := func(seed uint64) (all []conflict.Conflict) {
		g := newGenerator(Config{Seed: seed})
		for range 50 {
			all = append(all, g.conflict())
		}
		return all
	}
	require.Equal(t, draw(1), draw(1))
	require.NotEqual(t, draw(1), draw(2))
}

// The conflicts reach the edges that resolvers get wrong.
func TestConflictsReachTheEdges(t *testing.T) {
	t.Parallel()
	own := dovetail.String("own")
	g := newGenerator(Config{Values: []dovetail.Value{own}, Field: "phone", Systems: []dovetail.System{"a", "b"}})
	seen := map[string]int{}
	for range 2000 {
		c := g.conflict()
		require.Equal(t, "phone", c.Field)
		for edge, is := range map[string]bool{
			"own value":        c.Left.Value == own,
			"equal":            c.Left.Value == c.Right.Value,
			"one absent":       c.Left.Value.IsAbsent() != c.Right.Value.IsAbsent(),
			"null":             c.Right.Value.IsNull(),
			"no base":          c.Base.IsAbsent(),
			"left at the base": c.Base == c.Left.Value,
			"two kinds":        c.Left.Value.Kind() != c.Right.Value.Kind(),
			"no time":          c.Left.At.IsZero(),
			"a clock of zero":  c.Left.At.Unix() == 0,
			"equal times":      c.Left.At.Equal(c.Right.At),
			"no system":        c.Left.System == "",
			"nobody else":      c.Sides == nil,
		} {
			if is {
				seen[edge]++
			}
		}
	}
	require.Len(t, seen, 12)
	for edge, n := range seen {
		require.Greater(t, n, 20, edge)
	}
}

// recorder is a testing.TB that keeps what failed.
type recorder struct {
	testing.TB
	errors []any
}

func (*recorder) Helper()             {}
func (r *recorder) Error(args ...any) { r.errors = append(r.errors, args...) }

func TestLawsReportsToTheTest(t *testing.T) {
	t.Parallel()
	rec := &recorder{TB: t}
	Laws(rec, nil, Config{})
	require.Equal(t, []any{"ready: no resolver is given"}, rec.errors)
	Laws(t, conflict.Park(), Config{})
}
