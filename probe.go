package dovetail

import "context"

type probeKey struct{}

// Probe returns a context that says of the one call made under it: it finds out whether
// a system that is down is back, and whoever makes it sees to it that there are few. A
// circuit breaker on the way lets it through. Package outbox makes its probes so, and
// package retry heeds it: without that the two would wait for each other's turn.
func Probe(ctx context.Context) context.Context { return context.WithValue(ctx, probeKey{}, true) }

// IsProbe reports whether ctx is that of a probe.
func IsProbe(ctx context.Context) bool { return ctx.Value(probeKey{}) != nil }
