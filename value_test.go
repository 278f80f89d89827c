package dovetail_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tectari/dovetail"
)

// dec is a decimal that the test knows to be one.
func dec(t require.TestingT, text string) dovetail.Value {
	v, err := dovetail.Decimal(text)
	require.NoError(t, err)
	return v
}

// anyValue draws a value of any kind, extremes among them.
func anyValue() *rapid.Generator[dovetail.Value] {
	return rapid.Custom(func(t *rapid.T) dovetail.Value {
		switch rapid.IntRange(0, 8).Draw(t, "kind") {
		case 0:
			return dovetail.Value{}
		case 1:
			return dovetail.Null()
		case 2:
			return dovetail.Bool(rapid.Bool().Draw(t, "bool"))
		case 3:
			return dovetail.Int(rapid.Int64().Draw(t, "int"))
		case 4:
			return dec(t, rapid.StringMatching(`[+-]?[0-9]{1,40}(\.[0-9]{1,40})?`).Draw(t, "decimal"))
		case 5:
			return dovetail.DecimalOf(rapid.Int64().Draw(t, "coefficient"), rapid.Uint8().Draw(t, "scale"))
		case 6:
			return dovetail.String(rapid.String().Draw(t, "string"))
		case 7:
			return dovetail.Time(time.Unix(rapid.Int64().Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanos")))
		default:
			return dovetail.Raw(rapid.String().Draw(t, "raw"))
		}
	})
}

func TestValueIs32BytesAndComparable(t *testing.T) {
	t.Parallel()
	require.EqualValues(t, 32, unsafe.Sizeof(dovetail.Value{}))
	seen := map[dovetail.Value]bool{dovetail.Null(): true}
	require.True(t, seen[dovetail.Null()])
	require.False(t, seen[dovetail.Value{}], "absent is not null")
}

func TestValueStoresEveryValueExactly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := anyValue().Draw(t, "value")
		back, err := dovetail.ParseValue(v.Encode())
		require.NoError(t, err, v.Encode())
		require.True(t, back == v, v.Encode())
	})
}

func TestInstantsOfAnyYearAreStored(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Time{
		{},
		time.Date(-1, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Unix(math.MaxInt64, 999_999_999),
		time.Unix(math.MinInt64, 0),
	} {
		v := dovetail.Time(at)
		back, err := dovetail.ParseValue(v.Encode())
		require.NoError(t, err, v.Encode())
		require.True(t, v == back, v.Encode())
	}
}

func TestTimeIsUTCWithoutAMonotonicReading(t *testing.T) {
	t.Parallel()
	now := time.Now()
	require.True(t, dovetail.Time(now) == dovetail.Time(now.Round(0).In(time.FixedZone("x", 3600))))
	back, ok := dovetail.Time(now).Time()
	require.True(t, ok)
	require.True(t, back.Equal(now))
	require.Equal(t, time.UTC, back.Location())
	_, ok = dovetail.Int(1).Time()
	require.False(t, ok)
}

func TestParseValueRefusesWhatWasNotStored(t *testing.T) {
	t.Parallel()
	for _, stored := range []string{
		"", "x", "-x", "0x", "b", "byes", "bTRUE", "i", "i+5", "i007", "i-0", "i1.0", "i9223372036854775808",
		"d", "d1.50", "d+1", "d-0", "d00", "d1e3", "dNaN", "d.5", "d1.", "t", "tnow", "t2026-03-01",
		"t2026-03-01T12:00:00+02:00", "t2026-03-01T12:00:00.50Z", "t2026-03-01t12:00:00z", "t@", "t@1", "t@1.0", "t@253402300800",
		"t@253402300800.1000000000", "t@253402300800.-1", "t@253402300800.00", "\x00", "ä",
	} {
		v, err := dovetail.ParseValue(stored)
		require.ErrorIs(t, err, dovetail.ErrMalformedValue, "%q", stored)
		require.Equal(t, dovetail.Value{}, v)
	}
	_, err := dovetail.ParseValue("dSECRET")
	require.EqualError(t, err, "dovetail: malformed value: 7 bytes")
}

func FuzzParseValue(f *testing.F) {
	for _, s := range []string{"-", "0", "btrue", "i-12", "d12.5", "d10000000000000000000.01", "shello", "t2026-03-01T12:00:00.5Z", "t@253402300800.0", `r["a"]`, "d1.50"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, stored string) {
		v, err := dovetail.ParseValue(stored)
		if err != nil {
			require.ErrorIs(t, err, dovetail.ErrMalformedValue)
			return
		}
		require.Equal(t, stored, v.Encode(), "one content has one stored form")
		_ = fmt.Sprint(v, v.Text(), v.IsEmpty())
	})
}

func TestValueNeverPrintsItsContent(t *testing.T) {
	t.Parallel()
	const number, secret = 987654321, "s3cr3t"
	for _, v := range []dovetail.Value{dovetail.String(secret), dovetail.Raw(secret), dovetail.Int(number), dovetail.DecimalOf(number, 2), dec(t, strings.Repeat("9", 30))} {
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v, "p", &v)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v, "p", &v)
		encoded, err := json.Marshal(struct{ V dovetail.Value }{v})
		require.NoError(t, err)
		out := log.String() + string(encoded)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%o", "%b", "%t", "%e", "%c", "%U", "%20v"} {
			out += fmt.Sprintf(verb, v) + fmt.Sprintf(verb, &v) + fmt.Sprintf(verb, []dovetail.Value{v}) + fmt.Sprintf(verb, struct{ V dovetail.Value }{v})
		}
		for _, leak := range []string{secret, "98765", "99999", "733363723374", fmt.Sprintf("%x", number), fmt.Sprintf("%b", number), fmt.Sprintf("%o", number)} {
			require.NotContains(t, out, leak, v.Kind())
		}
	}
	require.Equal(t, "string", dovetail.String(secret).String())
	require.Equal(t, "dovetail.Value(int)", fmt.Sprintf("%#v", dovetail.Int(1)))
	require.Equal(t, "dovetail.Value(int)", dovetail.Int(1).GoString())
}

func TestKindsAndText(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 500, time.UTC)
	for _, tc := range []struct {
		v     dovetail.Value
		kind  string
		text  string
		empty bool
	}{
		{dovetail.Value{}, "absent", "", true},
		{dovetail.Null(), "null", "", true},
		{dovetail.Bool(true), "bool", "true", false},
		{dovetail.Bool(false), "bool", "false", false},
		{dovetail.Int(math.MinInt64), "int", "-9223372036854775808", false},
		{dovetail.Int(0), "int", "0", false},
		{dovetail.DecimalOf(-5, 3), "decimal", "-0.005", false},
		{dovetail.String(""), "string", "", true},
		{dovetail.String(" "), "string", " ", false},
		{dovetail.Raw(""), "raw", "", false},
		{dovetail.Time(at), "time", "2026-03-01T12:00:00.0000005Z", false},
	} {
		require.Equal(t, tc.kind, tc.v.Kind().String())
		require.Equal(t, tc.text, tc.v.Text())
		require.Equal(t, tc.empty, tc.v.IsEmpty(), tc.kind)
		require.Equal(t, tc.kind == "absent", tc.v.IsAbsent())
		require.Equal(t, tc.kind == "null", tc.v.IsNull())
	}
	require.Equal(t, "kind(99)", dovetail.Kind(99).String())
	require.True(t, dovetail.Bool(true).Bool())
	require.False(t, dovetail.Int(1).Bool(), "an int is no bool")
	n, ok := dovetail.Int(-7).Int()
	require.True(t, ok)
	require.EqualValues(t, -7, n)
	n, ok = dovetail.Time(at).Int()
	require.False(t, ok)
	require.Zero(t, n)
}

func TestCompare(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		a, b dovetail.Value
		want int
	}{
		{dovetail.Int(9), dovetail.Int(10), -1},
		{dovetail.Int(-9), dovetail.Int(-10), 1},
		{dovetail.Int(-1), dovetail.Int(0), -1},
		{dovetail.Int(2), dec(t, "2.000"), 0},
		{dovetail.Int(2), dec(t, "2.0001"), -1},
		{dec(t, "-0.5"), dec(t, "-0.45"), -1},
		{dec(t, "0.5"), dec(t, "0.45"), 1},
		{dec(t, "99999999999999999999"), dec(t, "100000000000000000000"), -1},
		{dovetail.Bool(false), dovetail.Bool(true), -1},
		{dovetail.Time(at), dovetail.Time(at.Add(1)), -1},
		{dovetail.Time(at.Add(time.Second)), dovetail.Time(at.Add(1)), 1},
		{dovetail.Time(at), dovetail.Time(at), 0},
		{dovetail.String("a"), dovetail.String("B"), 1},
		{dovetail.Raw("a"), dovetail.Raw("a"), 0},
	} {
		got, ok := dovetail.Compare(tc.a, tc.b)
		require.True(t, ok)
		require.Equal(t, tc.want, got, "%s and %s", tc.a.Text(), tc.b.Text())
		back, _ := dovetail.Compare(tc.b, tc.a)
		require.Equal(t, -tc.want, back)
	}
	for _, pair := range [][2]dovetail.Value{
		{dovetail.Null(), dovetail.Null()}, {{}, {}}, {dovetail.Null(), dovetail.Int(1)},
		{dovetail.String("1"), dovetail.Int(1)}, {dovetail.String("a"), dovetail.Raw("a")},
	} {
		_, ok := dovetail.Compare(pair[0], pair[1])
		require.False(t, ok)
	}
}
