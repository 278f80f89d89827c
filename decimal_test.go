package dovetail_test

import (
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tectari/dovetail"
)

func TestDecimalHasOneRepresentation(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"0": "0", "-0": "0", "+0.00": "0", "000": "0", "1.50": "1.5", "+1.5": "1.5", "01.5": "1.5", "-12.50": "-12.5", "0.10": "0.1",
		"999999999999999999": "999999999999999999", "1000000000000000000": "1000000000000000000", "0.000000000000000001": "0.000000000000000001",
		"0.0000000000000000001": "0.0000000000000000001", "-123456789012345678.9": "-123456789012345678.9",
		"00000000000000000000000000001.10000000000000000000000000000": "1.1",
		"1" + strings.Repeat("0", 299):                                "1" + strings.Repeat("0", 299),
	} {
		v := dec(t, text)
		require.Equal(t, want, v.Text())
		require.True(t, v == dec(t, want))
	}
}

func TestDecimalRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "-", "+", ".", "1.", ".5", "-.5", "1e3", "1E3", "NaN", "Inf", "0x1", "1,000", "1 000", " 1", "1 ", "--1", "+-1", "1.2.3", "1-", "१", "1\x00", strings.Repeat("1", 301), "0." + strings.Repeat("0", 300)} {
		v, err := dovetail.Decimal(text)
		require.ErrorIs(t, err, dovetail.ErrNotDecimal, "%q", text)
		require.True(t, v.IsAbsent())
	}
}

// A field that should be an amount may hold anything, a card number too.
func TestDecimalErrorHoldsNoText(t *testing.T) {
	t.Parallel()
	_, err := dovetail.Decimal("4111-1111")
	require.EqualError(t, err, "dovetail: not a decimal number: 9 bytes")
}

func TestDecimalOfTakesEveryCoefficientAndScale(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{0, 10, -10, math.MaxInt64, math.MinInt64, 999_999_999_999_999_999, 1_000_000_000_000_000_000})).Draw(t, "n")
		scale := rapid.Uint8().Draw(t, "scale")
		v := dovetail.DecimalOf(n, scale)
		require.Equal(t, dovetail.KindDecimal, v.Kind())
		got, ok := new(big.Rat).SetString(v.Text())
		require.True(t, ok)
		want := new(big.Rat).SetFrac(big.NewInt(n), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
		require.Zero(t, want.Cmp(got))
		require.True(t, v == dec(t, v.Text()), "the same number read from text is the same value")
		back, ok := v.Scaled(scale)
		require.True(t, ok)
		require.Equal(t, n, back)
	})
}

func TestScaled(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		v     dovetail.Value
		scale uint8
		want  int64
		ok    bool
	}{
		{dec(t, "12.5"), 2, 1250, true},
		{dec(t, "-12.5"), 1, -125, true},
		{dec(t, "12.5"), 0, 0, false},
		{dec(t, "12.555"), 2, 0, false},
		{dovetail.Int(12), 2, 1200, true},
		{dovetail.Int(0), 255, 0, true},
		{dovetail.Int(math.MinInt64), 0, math.MinInt64, true},
		{dovetail.Int(math.MaxInt64), 1, 0, false},
		{dovetail.Int(math.MaxInt64/10 + 1), 1, 0, false},
		{dovetail.Int(922337203685477580), 1, 9223372036854775800, true},
		{dec(t, "1"), 19, 0, false},
		{dec(t, "9223372036854775807"), 0, math.MaxInt64, true},
		{dec(t, "9223372036854775808"), 0, 0, false},
		{dec(t, "-9223372036854775808"), 0, math.MinInt64, true},
		{dec(t, "92233720368547758.07"), 2, math.MaxInt64, true},
		{dec(t, "0.0000000000000000001"), 19, 1, true},
		{dec(t, "0.0000000000000000001"), 18, 0, false},
		{dovetail.String("12"), 0, 0, false},
		{dovetail.Null(), 0, 0, false},
	} {
		n, ok := tc.v.Scaled(tc.scale)
		require.Equal(t, tc.ok, ok, tc.v.Text())
		require.Equal(t, tc.want, n, tc.v.Text())
	}
}

func TestCompareOrdersNumbersExactly(t *testing.T) {
	t.Parallel()
	number := rapid.StringMatching(`-?[0-9]{1,22}(\.[0-9]{1,22})?`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := dec(t, number.Draw(t, "a")), dec(t, number.Draw(t, "b"))
		x, _ := new(big.Rat).SetString(a.Text())
		y, _ := new(big.Rat).SetString(b.Text())
		got, ok := dovetail.Compare(a, b)
		require.True(t, ok)
		require.Equal(t, x.Cmp(y), got)
		require.Equal(t, got == 0, a == b)
	})
}

func FuzzDecimal(f *testing.F) {
	for _, s := range []string{"0", "-0.0", "12.50", "+1", "999999999999999999.9", "1e9", ".", "00.00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := dovetail.Decimal(text)
		if err != nil {
			require.ErrorIs(t, err, dovetail.ErrNotDecimal)
			return
		}
		want, ok := new(big.Rat).SetString(text)
		require.True(t, ok)
		got, ok := new(big.Rat).SetString(v.Text())
		require.True(t, ok)
		require.Zero(t, want.Cmp(got), "exact")
		require.True(t, v == dec(t, v.Text()), "one representation")
	})
}
