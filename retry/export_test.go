package retry

import "time"

// FixJitter makes every random wait of t as long as share says.
func FixJitter(t *Transport, share float64) {
	t.jitter = func() float64 { return share }
	t.gate.breaker.jitter = t.jitter
}

// ParseRetryAfter is parseRetryAfter.
func ParseRetryAfter(v, date string, now time.Time) time.Duration {
	return parseRetryAfter(v, date, now)
}

// MaxHint is maxHint.
const MaxHint = maxHint
