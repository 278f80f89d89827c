package oncetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/idempotency"
)

// Points are where a process can die or stand still.
var Points = []string{"before claim", "after claim", "before mark", "after mark", "before call", "after call", "before complete", "after complete"}

var callFaults = map[string]dovetailtest.TargetFault{
	"request lost": dovetailtest.TargetLosesRequest, "reply lost": dovetailtest.TargetLosesReply, "arrives late": dovetailtest.TargetActsLate,
	"500": dovetailtest.TargetAnswers500, "500 but done": dovetailtest.TargetActsAndAnswers500, "429": dovetailtest.TargetAnswers429,
}

// A Matrix is every fault at every point for every class of target.
type Matrix struct {
	Timing
	// Store makes a ledger.
	Store func(t *testing.T) idempotency.Store
	// In runs a case, in a bubble of its own time or without.
	In func(t *testing.T, run func(t *testing.T))
}

// Each runs a case for every class.
func (m Matrix) Each(t *testing.T, name string, run func(t *testing.T, w *World)) {
	t.Helper()
	for _, class := range "ABbCD" {
		t.Run(fmt.Sprintf("%s/class %c", name, class), func(t *testing.T) {
			t.Parallel()
			scope := t.Name() // cases may share a ledger
			m.In(t, func(t *testing.T) {
				w := NewWorld(byte(class), m.Store(t), m.Timing)
				w.Key.Scope = scope
				run(t, w)
			})
		})
	}
}

var matrixInvoice = Invoice{Number: "R-1", Cents: 1999}

// OneWorker dies at each point, and the next one goes on; or its calls fail.
func (m Matrix) OneWorker(t *testing.T) {
	for _, point := range Points {
		m.Each(t, point, func(t *testing.T, w *World) {
			_, parked := w.Persist(t, &Process{DieAt: point}, matrixInvoice)
			w.Finish(t, matrixInvoice, parked)
		})
	}
	for name, fault := range callFaults {
		m.Each(t, name, func(t *testing.T, w *World) {
			w.Target.Fail(fault, fault)
			_, parked := w.Persist(t, &Process{}, matrixInvoice)
			w.Finish(t, matrixInvoice, parked)
		})
	}
}

// TwoWorkers run at once, one of which dies at each point, or meets each fault.
func (m Matrix) TwoWorkers(t *testing.T) {
	both := func(t *testing.T, w *World, p *Process) {
		var wg sync.WaitGroup
		for _, p := range []*Process{p, {}} {
			wg.Go(func() { w.Persist(t, p, matrixInvoice) })
		}
		wg.Wait()
		w.Finish(t, matrixInvoice, w.InDoubt(t))
	}
	for _, point := range Points {
		m.Each(t, point, func(t *testing.T, w *World) { both(t, w, &Process{DieAt: point}) })
	}
	for name, fault := range callFaults {
		m.Each(t, name, func(t *testing.T, w *World) {
			w.Target.Fail(fault, fault)
			both(t, w, &Process{})
		})
	}
}

// Zombie stops a worker at each point for longer than its lease; a successor runs,
// and then the first goes on as if nothing had happened.
func (m Matrix) Zombie(t *testing.T) {
	for _, point := range Points {
		if point == "before call" {
			continue // between the check of the lease and the first byte: not promised, see package idempotency
		}
		for _, pause := range []time.Duration{2 * m.Lease, m.Quiet} {
			m.Each(t, fmt.Sprintf("%s/%v", point, pause), func(t *testing.T, w *World) {
				var wg sync.WaitGroup
				wg.Go(func() { w.Persist(t, &Process{PauseAt: point, Pause: pause}, matrixInvoice) })
				time.Sleep(m.Lease + m.Lease/30)
				wg.Go(func() { w.Persist(t, &Process{}, matrixInvoice) })
				wg.Wait()
				w.Finish(t, matrixInvoice, w.InDoubt(t))
			})
		}
	}
}
