package idempotency_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/tectari/dovetail/idempotency"
	"github.com/tectari/dovetail/internal/oncetest"
	"github.com/tectari/dovetail/store/memstore"
)

type (
	invoice = oncetest.Invoice
	process = oncetest.Process
	quiet   = oncetest.Quiet
)

const (
	lease       = 30 * time.Second
	requestLife = time.Minute
	findLag     = 30 * time.Second
	keyWindow   = 6 * time.Minute
)

func newWorld(class byte) *oncetest.World {
	return oncetest.NewWorld(class, memstore.New(), oncetest.Real)
}

// matrix is the crash matrix in memory, each case in a bubble of its own time.
var matrix = oncetest.Matrix{
	Timing: oncetest.Real,
	Store:  func(*testing.T) idempotency.Store { return memstore.New() },
	In:     synctest.Test,
}

// The crash matrix, one worker: it dies at each point, and the next one goes on.
func TestCrashMatrix_OneWorker(t *testing.T) {
	t.Parallel()
	matrix.OneWorker(t)
}

// Two workers at once, one of which dies at each point, or meets each fault.
func TestCrashMatrix_TwoWorkers(t *testing.T) {
	t.Parallel()
	matrix.TwoWorkers(t)
}

// A worker is stopped at each point for longer than its lease, a successor runs,
// and then it goes on as if nothing had happened.
func TestCrashMatrix_Zombie(t *testing.T) {
	t.Parallel()
	matrix.Zombie(t)
}
