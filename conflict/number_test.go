package conflict_test

import (
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/conflict"
)

func TestMaxAndMin(t *testing.T) {
	t.Parallel()
	none := dovetail.Value{}
	for name, tc := range map[string]struct{ left, right, lo, hi dovetail.Value }{
		"ints":              {dovetail.Int(9), dovetail.Int(10), dovetail.Int(9), dovetail.Int(10)},
		"negative":          {dovetail.Int(-9), dovetail.Int(-10), dovetail.Int(-10), dovetail.Int(-9)},
		"int with decimal":  {dovetail.Int(9), dec(t, "9.01"), dovetail.Int(9), dec(t, "9.01")},
		"one size":          {dovetail.Int(9), dec(t, "9"), dovetail.Int(9), dovetail.Int(9)},
		"long decimals":     {dec(t, "10000000000000000000.1"), dec(t, "9999999999999999999.9"), dec(t, "9999999999999999999.9"), dec(t, "10000000000000000000.1")},
		"texts":             {str("a"), str("B"), str("B"), str("a")},
		"times":             {dovetail.Time(noon), dovetail.Time(noon.Add(1)), dovetail.Time(noon), dovetail.Time(noon.Add(1))},
		"null":              {dovetail.Null(), dovetail.Int(1), none, none},
		"two kinds":         {str("9"), dovetail.Int(1), none, none},
		"composites":        {dovetail.Raw("[1]"), dovetail.Raw("[2]"), none, none},
		"bools":             {dovetail.Bool(true), dovetail.Bool(false), none, none},
		"equal is no clash": {dovetail.Raw("[1]"), dovetail.Raw("[1]"), dovetail.Raw("[1]"), dovetail.Raw("[1]")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := pair(none, tc.left, tc.right)
			for _, c := range []conflict.Conflict{c, swapped(c)} {
				require.Equal(t, tc.hi, conflict.Decide(t.Context(), conflict.Max(conflict.Park()), c).Value, "Max")
				require.Equal(t, tc.lo, conflict.Decide(t.Context(), conflict.Min(conflict.Park()), c).Value, "Min")
			}
		})
	}
}

func TestCounter(t *testing.T) {
	t.Parallel()
	none := dovetail.Value{}
	huge := dec(t, strings.Repeat("9", 300))
	for name, tc := range map[string]struct{ base, left, right, want dovetail.Value }{
		"both moved":              {dovetail.Int(10), dovetail.Int(7), dovetail.Int(12), dovetail.Int(9)},
		"one moved":               {dovetail.Int(10), dovetail.Int(10), dovetail.Int(12), dovetail.Int(12)},
		"both by the same":        {dovetail.Int(10), dovetail.Int(9), dovetail.Int(9), dovetail.Int(8)},
		"below zero":              {dovetail.Int(1), dovetail.Int(0), dovetail.Int(-3), dovetail.Int(-4)},
		"cents":                   {dec(t, "0.1"), dec(t, "0.3"), dec(t, "0.05"), dec(t, "0.25")},
		"int becomes decimal":     {dovetail.Int(1), dec(t, "1.5"), dovetail.Int(2), dec(t, "2.5")},
		"beyond 18 digits":        {dec(t, "0"), dec(t, "999999999999999999.99"), dec(t, "0.01"), dec(t, "1000000000000000000")},
		"no base":                 {none, dovetail.Int(7), dovetail.Int(12), none},
		"base is null":            {dovetail.Null(), dovetail.Int(7), dovetail.Int(12), none},
		"base is text":            {str("10"), dovetail.Int(7), dovetail.Int(12), none},
		"a side is null":          {dovetail.Int(1), dovetail.Null(), dovetail.Int(12), none},
		"a side says nothing":     {dovetail.Int(1), none, dovetail.Int(12), none},
		"a side is text":          {dovetail.Int(1), str("3"), dovetail.Int(12), none},
		"more than 64 bits":       {dovetail.Int(0), dovetail.Int(math.MaxInt64), dovetail.Int(1), none},
		"less than 64 bits":       {dovetail.Int(0), dovetail.Int(math.MinInt64), dovetail.Int(-1), none},
		"through more than 64":    {dovetail.Int(math.MaxInt64), dovetail.Int(math.MaxInt64), dovetail.Int(1), dovetail.Int(1)},
		"more digits than stored": {dec(t, "0"), huge, huge, none},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := pair(tc.base, tc.left, tc.right)
			for _, c := range []conflict.Conflict{c, swapped(c)} {
				d := conflict.Decide(t.Context(), conflict.Counter(), c)
				require.Equal(t, tc.want, d.Value, d.Why)
				require.Equal(t, tc.want.IsAbsent(), d.Verdict == conflict.Parked)
			}
		})
	}
}

// The sum is exact: checked against rationals, for any scale and size.
func TestCounterIsExact(t *testing.T) {
	t.Parallel()
	number := rapid.StringMatching(`-?[0-9]{1,25}(\.[0-9]{1,25})?`)
	rapid.Check(t, func(t *rapid.T) {
		rat := func(v dovetail.Value) *big.Rat {
			r, ok := new(big.Rat).SetString(v.Text())
			require.True(t, ok)
			return r
		}
		draw := func(name string) dovetail.Value {
			v, err := dovetail.Decimal(number.Draw(t, name))
			require.NoError(t, err)
			return v
		}
		c := pair(draw("base"), draw("left"), draw("right"))
		d := conflict.Decide(t.Context(), conflict.Counter(), c)
		want := rat(c.Left.Value)
		want.Add(want, rat(c.Right.Value)).Sub(want, rat(c.Base))
		require.Zero(t, want.Cmp(rat(d.Value)))
	})
}
