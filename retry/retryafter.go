package retry

import (
	"net/http"
	"strings"
	"time"
)

// maxHint is the longest wait that is taken from a header. A longer one is more
// likely a fault than a wish, and would stop a client until it is restarted.
const maxHint = 24 * time.Hour

// retryAfter returns how long the response asks to wait, zero if it does not say
// so or says so in no form that is known: seconds, whole or decimal; one of the
// three HTTP dates, against the response's own Date; milliseconds in
// Retry-After-Ms or X-Ms-Retry-After-Ms. Of several the longest counts.
func retryAfter(h http.Header, now time.Time) time.Duration {
	var wait time.Duration
	for _, v := range h["Retry-After"] {
		wait = max(wait, parseRetryAfter(v, h.Get("Date"), now))
	}
	for _, name := range [...]string{"Retry-After-Ms", "X-Ms-Retry-After-Ms"} {
		for _, v := range h[name] {
			if d, ok := parseDecimal(v, time.Millisecond); ok {
				wait = max(wait, d)
			}
		}
	}
	return wait
}

func parseRetryAfter(v, date string, now time.Time) time.Duration {
	v = strings.TrimSpace(v)
	if d, ok := parseDecimal(v, time.Second); ok {
		return d
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	if d, err := http.ParseTime(date); err == nil {
		now = d // their clock on both sides
	}
	return min(max(0, at.Sub(now)), maxHint)
}

// parseDecimal reads digits with an optional fraction as so many units, rounded
// up and at most maxHint. It accepts no sign, exponent or infinity, and any
// number of digits.
func parseDecimal(s string, unit time.Duration) (time.Duration, bool) {
	s = strings.TrimSpace(s)
	whole, fraction, dot := strings.Cut(s, ".")
	if whole == "" || (dot && fraction == "") {
		return 0, false
	}
	var d time.Duration
	for _, c := range []byte(whole) {
		if c < '0' || c > '9' {
			return 0, false
		}
		d = min(d*10+time.Duration(c-'0'), maxHint) // in units; far from overflow
	}
	d = min(d, maxHint/unit) * unit //nolint:durationcheck // d counts units here
	rest := unit
	for _, c := range []byte(fraction) {
		if c < '0' || c > '9' {
			return 0, false
		}
		if rest /= 10; rest > 0 {
			d += rest * time.Duration(c-'0')
		} else if c > '0' {
			d++ // later, never earlier
		}
	}
	return min(d, maxHint), true
}
