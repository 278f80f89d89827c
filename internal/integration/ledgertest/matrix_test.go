package ledgertest

import (
	"testing"
	"time"

	"github.com/tectari/dovetail/idempotency"
	"github.com/tectari/dovetail/internal/oncetest"
)

// quick is short enough for real time, and long enough for a slow server to answer
// within a lease.
var quick = oncetest.Timing{
	Lease: time.Second, RequestLife: 600 * time.Millisecond, FindLag: 300 * time.Millisecond, KeyWindow: time.Minute,
	Backoff: 50 * time.Millisecond, MaxBackoff: 500 * time.Millisecond, Quiet: 1500 * time.Millisecond,
}

// TestCrashMatrix goes through every fault at every point, for every class of target,
// on every database, with one worker, with two, and with one that comes back after
// its lease: no record twice, none lost, and only class D asks a person.
func TestCrashMatrix(t *testing.T) {
	t.Parallel()
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shared := open(t)
			matrix := oncetest.Matrix{
				Timing: quick,
				Store:  func(*testing.T) idempotency.Store { return shared },
				In:     func(t *testing.T, run func(*testing.T)) { run(t) },
			}
			matrix.OneWorker(t)
			matrix.TwoWorkers(t)
			matrix.Zombie(t)
		})
	}
}
