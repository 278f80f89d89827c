package retry_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/retry"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func TestRetryAfterInEveryForm(t *testing.T) {
	t.Parallel()
	const theirs = "Mon, 02 Mar 2026 11:00:00 GMT" // their clock is an hour behind
	for _, c := range []struct {
		v, date string
		want    time.Duration
	}{
		{"120", "", 2 * time.Minute},
		{" 7 ", "", 7 * time.Second},
		{"2.0", "", 2 * time.Second},
		{"0.25", "", 250 * time.Millisecond},
		{"1.0000000001", "", time.Second + 1},
		{"0", "", 0},
		{"-1", "", 0},
		{"", "", 0},
		{".", "", 0},
		{"5.", "", 0},
		{".5", "", 0},
		{"1e3", "", 0},
		{"Inf", "", 0},
		{"soon", "", 0},
		{"9223372037", "", retry.MaxHint},
		{"9223372036854775808", "", retry.MaxHint},
		{strings.Repeat("9", 500), "", retry.MaxHint},
		{"Mon, 02 Mar 2026 12:00:30 GMT", "", 30 * time.Second},
		{"Monday, 02-Mar-26 12:00:30 GMT", "", 30 * time.Second},
		{"Mon Mar  2 12:00:30 2026", "", 30 * time.Second},
		{"Mon, 02 Mar 2026 11:00:30 GMT", theirs, 30 * time.Second},
		{"Mon, 02 Mar 2026 11:00:30 GMT", "", 0},
		{"Fri, 31 Dec 9999 23:59:59 GMT", "", retry.MaxHint},
	} {
		require.Equal(t, c.want, retry.ParseRetryAfter(c.v, c.date, noon), "%q", c.v)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"1", "2.5", "-3", "9223372037", "Mon, 02 Mar 2026 12:00:30 GMT", "1e9", "NaN", "0x10"} {
		f.Add(s, "")
	}
	f.Fuzz(func(t *testing.T, v, date string) {
		d := retry.ParseRetryAfter(v, date, noon)
		if d < 0 || d > retry.MaxHint {
			t.Fatalf("%q: %v", v, d)
		}
		if n, err := strconv.ParseUint(v, 10, 16); err == nil && d != time.Duration(n)*time.Second {
			t.Fatalf("%q is %v", v, d)
		}
	})
}
