package conflict_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/conflict"
)

func TestLatestAndOldestByTheClock(t *testing.T) {
	t.Parallel()
	const skew = 2 * time.Minute
	far := time.Unix(math.MaxInt64/2, 0)
	for name, tc := range map[string]struct {
		left, right time.Time
		latest      dovetail.System // "" parks
	}{
		"right is later":         {noon, noon.Add(time.Hour), "shop"},
		"left is later":          {noon.Add(time.Hour), noon, "crm"},
		"equal":                  {noon, noon, ""},
		"inside the skew":        {noon, noon.Add(skew - 1), ""},
		"exactly at the skew":    {noon, noon.Add(skew), ""},
		"just outside the skew":  {noon, noon.Add(skew + 1), "shop"},
		"the other way":          {noon.Add(skew + 1), noon, "crm"},
		"left gives no time":     {time.Time{}, noon, ""},
		"right gives no time":    {noon, time.Time{}, ""},
		"neither gives a time":   {time.Time{}, time.Time{}, ""},
		"a clock of zero":        {time.Unix(0, 0), noon, ""},
		"a clock before zero":    {noon, time.Unix(-5, 0), ""},
		"further than Durations": {noon, far, "shop"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := pair(str("x"), str("left"), str("right"))
			c.Left.At, c.Right.At = tc.left, tc.right
			for _, c := range []conflict.Conflict{c, swapped(c)} {
				latest := conflict.Decide(t.Context(), conflict.Latest(skew, conflict.Park()), c)
				oldest := conflict.Decide(t.Context(), conflict.Oldest(skew, conflict.Park()), c)
				require.Equal(t, tc.latest, latest.System)
				if tc.latest == "" {
					require.Equal(t, conflict.Parked, latest.Verdict)
					require.Equal(t, conflict.Parked, oldest.Verdict)
					require.Equal(t, "park", latest.By, "who decided in the end signs")
					require.Contains(t, latest.Why, "; a person decides", "why it was handed on is kept")
					continue
				}
				require.Equal(t, "latest", latest.By)
				require.NotEqual(t, latest.System, oldest.System)
			}
		})
	}
}

// A later change wins whatever zone its system writes times in.
func TestLatestProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		skew := time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "skew"))
		gap := time.Duration(rapid.Int64Range(-int64(2*time.Hour), int64(2*time.Hour)).Draw(t, "gap"))
		zone := time.FixedZone("z", rapid.IntRange(-12, 14).Draw(t, "zone")*3600)
		c := pair(str("x"), str("left"), str("right"))
		c.Left.At, c.Right.At = noon, noon.Add(gap).In(zone)
		want := conflict.Parked
		if gap > skew || -gap > skew {
			want = conflict.Taken
		}
		d := conflict.Decide(t.Context(), conflict.Latest(skew, conflict.Park()), c)
		require.Equal(t, want, d.Verdict)
		if want == conflict.Taken {
			require.Equal(t, gap > 0, d.System == "shop")
		}
	})
}

func TestPrefer(t *testing.T) {
	t.Parallel()
	c := pair(str("x"), str("left"), str("right"))
	for name, tc := range map[string]struct {
		order []dovetail.System
		want  dovetail.System
	}{
		"first":     {[]dovetail.System{"crm", "shop"}, "crm"},
		"second":    {[]dovetail.System{"shop", "crm"}, "shop"},
		"only one":  {[]dovetail.System{"shop"}, "shop"},
		"not there": {[]dovetail.System{"erp", "crm"}, "crm"},
		"neither":   {[]dovetail.System{"erp"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, c := range []conflict.Conflict{c, swapped(c)} {
				require.Equal(t, tc.want, conflict.Decide(t.Context(), conflict.Prefer(tc.order...), c).System)
			}
		})
	}
	same := c
	same.Right.System = "crm"
	require.Equal(t, conflict.Parked, conflict.Decide(t.Context(), conflict.Prefer("crm"), same).Verdict)
	same.Left.System = "" // a value that an earlier decision made
	require.Equal(t, same.Right.Value, conflict.Decide(t.Context(), conflict.Prefer("crm"), same).Value)
}

func TestPreferKeepsNoReferenceToTheOrder(t *testing.T) {
	t.Parallel()
	order := []dovetail.System{"crm", "shop"}
	r := conflict.Prefer(order...)
	order[0] = "shop"
	require.Equal(t, dovetail.System("crm"), conflict.Decide(t.Context(), r, pair(str("x"), str("a"), str("b"))).System)
}

func TestNonEmptyAndWriteOnce(t *testing.T) {
	t.Parallel()
	none, null := dovetail.Value{}, dovetail.Null()
	for name, tc := range map[string]struct {
		base, left, right   dovetail.Value
		nonEmpty, writeOnce dovetail.Value // absent parks
	}{
		"a blank is filled":           {null, str("a"), null, str("a"), str("a")},
		"by the empty string":         {null, str(""), str("a"), str("a"), str("a")},
		"both empty":                  {null, str(""), null, null, none},
		"two first values":            {null, str("a"), str("b"), none, none},
		"base unknown":                {none, str("a"), null, str("a"), str("a")},
		"one moved":                   {str("a"), str("a"), str("b"), none, str("a")},
		"one cleared":                 {str("a"), null, str("a"), str("a"), str("a")},
		"both moved":                  {str("x"), str("a"), str("b"), none, none},
		"zero is not empty":           {null, dovetail.Int(0), null, dovetail.Int(0), dovetail.Int(0)},
		"an empty set is not empty":   {null, dovetail.Raw("[]"), null, dovetail.Raw("[]"), dovetail.Raw("[]")},
		"an int and a decimal differ": {dovetail.Int(1), dovetail.Int(1), dovetail.DecimalOf(1, 0), none, dovetail.Int(1)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := pair(tc.base, tc.left, tc.right)
			for _, c := range []conflict.Conflict{c, swapped(c)} {
				require.Equal(t, tc.nonEmpty, conflict.Decide(t.Context(), conflict.NonEmpty(conflict.Park()), c).Value, "NonEmpty")
				require.Equal(t, tc.writeOnce, conflict.Decide(t.Context(), conflict.WriteOnce(conflict.Park()), c).Value, "WriteOnce")
			}
		})
	}
}

func TestMajority(t *testing.T) {
	t.Parallel()
	side := func(system, value string) conflict.Side {
		s := conflict.Side{System: dovetail.System(system)}
		if value != "" {
			s.Value = str(value)
		}
		return s
	}
	for name, tc := range map[string]struct {
		left, right string
		others      []conflict.Side
		want        string
	}{
		"two systems":              {"a", "b", nil, ""},
		"two of three":             {"a", "b", []conflict.Side{side("erp", "a")}, "a"},
		"neither side":             {"a", "b", []conflict.Side{side("e1", "c"), side("e2", "c"), side("e3", "c")}, "c"},
		"half is no majority":      {"a", "b", []conflict.Side{side("e1", "a"), side("e2", "b")}, ""},
		"most is no majority":      {"a", "b", []conflict.Side{side("e1", "a"), side("e2", "c"), side("e3", "d")}, ""},
		"silence has no vote":      {"a", "b", []conflict.Side{side("erp", "")}, ""},
		"nobody votes twice":       {"a", "b", []conflict.Side{side("crm", "a"), side("crm", "a"), side("shop", "b"), side("erp", "b")}, "b"},
		"no vote without a system": {"a", "b", []conflict.Side{side("", "a"), side("", "a")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := pair(dovetail.Value{}, str(tc.left), str(tc.right))
			c.Sides = tc.others
			for _, c := range []conflict.Conflict{c, swapped(c)} {
				d := conflict.Decide(t.Context(), conflict.Majority(conflict.Park()), c)
				require.Equal(t, tc.want, d.Value.Text())
				require.Equal(t, tc.want == "", d.Verdict == conflict.Parked)
			}
		})
	}
	c := pair(dovetail.Value{}, str("a"), str("b"))
	c.Right.System, c.Sides = "crm", []conflict.Side{side("erp", "b"), side("e2", "b")}
	require.Equal(t, conflict.Parked, conflict.Decide(t.Context(), conflict.Majority(conflict.Park()), c).Verdict)
}
