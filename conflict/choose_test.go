package conflict_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/conflict"
)

func TestStateMachine(t *testing.T) {
	t.Parallel()
	edges := map[string][]string{"open": {"paid", "void"}, "paid": {"sent"}, "sent": {"done"}, "held": {"back"}, "back": {"held"}}
	r := conflict.StateMachine(edges, conflict.Park())
	edges["void"] = []string{"open"} // the resolver keeps no reference
	null := dovetail.Null()
	for name, tc := range map[string]struct {
		base, left, right dovetail.Value
		want              string
	}{
		"one step":           {str("open"), str("open"), str("paid"), "paid"},
		"several steps":      {str("open"), str("done"), str("paid"), "done"},
		"no base":            {dovetail.Value{}, str("open"), str("sent"), "sent"},
		"two ends":           {str("open"), str("void"), str("sent"), ""},
		"a circle":           {str("held"), str("back"), str("held"), ""},
		"unknown state":      {str("open"), str("lost"), str("paid"), ""},
		"unknown base":       {str("lost"), str("open"), str("paid"), "paid"},
		"null":               {str("open"), null, str("paid"), ""},
		"not a string":       {str("open"), dovetail.Raw("open"), str("paid"), ""},
		"behind the base":    {str("done"), str("open"), str("paid"), ""},
		"the base itself":    {str("sent"), str("paid"), str("sent"), "sent"},
		"same state":         {str("open"), str("lost"), str("lost"), "lost"},
		"case is not folded": {str("open"), str("Paid"), str("open"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := pair(tc.base, tc.left, tc.right)
			for _, c := range []conflict.Conflict{c, swapped(c)} {
				d := conflict.Decide(t.Context(), r, c)
				require.Equal(t, tc.want, d.Value.Text(), d.Why)
				require.Equal(t, tc.want == "", d.Verdict == conflict.Parked)
			}
		})
	}
}

// Whatever the edges, a state never goes backwards.
func TestStateMachineNeverGoesBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		state := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"})
		edges := rapid.MapOfN(state, rapid.SliceOfN(state, 0, 3), 1, 5).Draw(t, "edges")
		left, right := state.Draw(t, "left"), state.Draw(t, "right")
		d := conflict.Decide(t.Context(), conflict.StateMachine(edges, conflict.Park()), pair(dovetail.Value{}, str(left), str(right)))
		if left == right || d.Verdict == conflict.Parked {
			return
		}
		loser := left
		if d.Value == str(left) {
			loser = right
		}
		require.True(t, reaches(edges, loser, d.Value.Text()))
		require.False(t, reaches(edges, d.Value.Text(), loser))
	})
}

// reaches walks the edges, as many steps as there are states.
func reaches(edges map[string][]string, from, to string) bool {
	at := map[string]bool{}
	for _, s := range edges[from] {
		at[s] = true
	}
	for range 6 {
		for s := range at {
			for _, n := range edges[s] {
				at[n] = true
			}
		}
	}
	return at[to]
}

func TestFirst(t *testing.T) {
	t.Parallel()
	c := pair(dovetail.Int(10), dovetail.Int(7), dovetail.Int(12))
	d := conflict.Decide(t.Context(), conflict.First(conflict.SetMerge(), conflict.Counter(), conflict.Prefer("crm")), c)
	require.Equal(t, dovetail.Int(9), d.Value)
	require.Equal(t, "counter", d.By)
	d = conflict.Decide(t.Context(), conflict.First(conflict.SetMerge(), conflict.Prefer("erp")), c)
	require.Equal(t, conflict.Parked, d.Verdict)
	require.Equal(t, "set-merge: a side is not a set of strings; prefer: neither crm nor shop is preferred", d.Why)
	require.True(t, conflict.TraitsOf(conflict.First(conflict.Max(conflict.Park()), conflict.Counter())).Invents)
	require.False(t, conflict.TraitsOf(conflict.First(conflict.Func(nil), conflict.Park())).Invents)
}

func TestWhenAndByField(t *testing.T) {
	t.Parallel()
	when := conflict.When(func(c conflict.Conflict) bool { return c.Base.IsNull() }, conflict.Prefer("crm"))
	require.Equal(t, str("a"), conflict.Decide(t.Context(), when, pair(dovetail.Null(), str("a"), str("b"))).Value)
	require.Equal(t, conflict.Parked, conflict.Decide(t.Context(), when, pair(str("x"), str("a"), str("b"))).Verdict)
	broken := conflict.When(func(conflict.Conflict) bool { panic("no") }, conflict.Prefer("crm"))
	require.Equal(t, conflict.Parked, conflict.Decide(t.Context(), broken, pair(str("x"), str("a"), str("b"))).Verdict)

	fields := map[string]conflict.Resolver{"phone": conflict.Prefer("crm")}
	by := conflict.ByField(fields, conflict.Prefer("shop"))
	fields["phone"] = nil // the resolver keeps no reference
	c := pair(str("x"), str("a"), str("b"))
	require.Equal(t, str("a"), conflict.Decide(t.Context(), by, c).Value)
	c.Field = "email"
	require.Equal(t, str("b"), conflict.Decide(t.Context(), by, c).Value)
}

func TestTraitsCombine(t *testing.T) {
	t.Parallel()
	custom := conflict.Func(nil)
	require.Equal(t, conflict.Traits{}, conflict.TraitsOf(custom))
	require.Equal(t, conflict.Traits{}, conflict.TraitsOf(nil))
	func1 := conflict.Func(pairFunc)
	require.False(t, conflict.TraitsOf(conflict.Max(func1)).OrderFree, "a fallback that promises nothing")
	require.Equal(t, conflict.Traits{OrderFree: true, ReadsClock: true}, conflict.TraitsOf(conflict.Max(conflict.Latest(1, conflict.Park()))))
}

// pairFunc always takes the left side.
func pairFunc(_ context.Context, c conflict.Conflict) (conflict.Decision, error) {
	return conflict.Take(c.Left, "left"), nil
}
