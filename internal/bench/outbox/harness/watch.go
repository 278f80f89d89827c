package harness

import (
	"fmt"
	"time"

	"github.com/tectari/dovetail/internal/bench/outbox/server"
)

// A stopwatch counts time and the seconds of CPU that this process and the server
// use.
type stopwatch struct {
	bench  *Bench
	begun  time.Time
	own    float64
	theirs float64
}

// watch starts a stopwatch.
func (b *Bench) watch() (stopwatch, error) {
	own, theirs, err := b.used()
	return stopwatch{bench: b, begun: time.Now(), own: own, theirs: theirs}, err
}

// cpu returns the seconds of CPU since the start, for 100,000 of n events.
func (w stopwatch) cpu(n int64) (float64, error) {
	own, theirs, err := w.bench.used()
	if err != nil || n == 0 {
		return 0, err
	}
	return (own - w.own + theirs - w.theirs) / float64(n) * 100_000, nil
}

func (b *Bench) used() (own, theirs float64, err error) {
	if own, err = server.OwnCPU(); err != nil {
		return 0, 0, fmt.Errorf("CPU of this process: %w", err)
	}
	if theirs, err = b.server.CPU(); err != nil {
		return 0, 0, fmt.Errorf("CPU of the server: %w", err)
	}
	return own, theirs, nil
}
