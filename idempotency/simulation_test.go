package idempotency_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/internal/oncetest"
)

var simulated = flag.Int("writes", 20_000, "how many writes TestStrategiesSideBySide simulates for each strategy")

// A tally is what became of the writes of one strategy on one class of target.
type tally struct{ duplicated, lost, asked atomic.Int64 }

// A strategy writes once, or tries to: it is run again after each failure. It
// reports whether it gave the write to a person.
type strategy struct {
	name string
	run  func(w *oncetest.World, died func() bool, v invoice) (asked bool)
}

// again repeats a naive write as a queue would. An attempt may die after the call,
// with what it has learned.
func again(w *oncetest.World, died func() bool, attempt func(n int) error) bool {
	backoff := w.Backoff
	for n := range 60 {
		err := attempt(n)
		if err == nil && !died() {
			return false
		}
		time.Sleep(backoff)
		backoff = min(2*backoff, w.MaxBackoff)
	}
	return false
}

// create is the call that the API offers: an upsert by our ID where there is one.
func create(w *oncetest.World, key string, v invoice) error {
	if w.Class == 'A' {
		_, _, err := w.Target.Upsert(context.Background(), w.Key, v)
		return err
	}
	_, err := w.Target.CreateWith(context.Background(), w.Key, key, v)
	return err
}

// The ways in which people write once today, and ours.
var strategies = []strategy{
	{"a new key for each attempt", func(w *oncetest.World, died func() bool, v invoice) bool {
		return again(w, died, func(n int) error {
			return create(w, fmt.Sprint(n), v)
		})
	}},
	{"find, then create", func(w *oncetest.World, died func() bool, v invoice) bool {
		return again(w, died, func(n int) error {
			found, err := w.Target.Find(context.Background(), w.Key, v)
			if err == nil && len(found) == 0 {
				err = create(w, fmt.Sprint(n), v)
			}
			return err
		})
	}},
	{"lock and replay, one key", func(w *oncetest.World, died func() bool, v invoice) bool {
		return again(w, died, func(int) error {
			return create(w, w.Key.UUID(), v)
		})
	}},
	{"Dovetail", func(w *oncetest.World, died func() bool, v invoice) bool {
		p := &process{}
		if died() {
			p.DieAt = oncetest.Points[len(v.Number)%len(oncetest.Points)]
		}
		t := &collected{}
		_, asked := w.Persist(t, p, v)
		for parked := asked; parked && t.failed == ""; {
			w.Answer(t)
			_, parked = w.Persist(t, &process{}, v)
		}
		return asked
	}},
}

// collected is a testing.T of a goroutine.
type collected struct{ failed string }

func (c *collected) Errorf(format string, args ...any) { c.failed += fmt.Sprintf(format, args...) }
func (c *collected) FailNow()                          { panic(c.failed) }

// TestStrategiesSideBySide simulates many writes with random faults and deaths, and
// prints what the usual ways of writing once make of them beside ours. With
// -writes 1000000 it takes minutes. Class b is B with a search.
func TestStrategiesSideBySide(t *testing.T) {
	t.Parallel()
	const together = 250
	var table strings.Builder
	fmt.Fprintf(&table, "%d writes each; duplicated / lost / given to a person\n%-28s", *simulated, "")
	for _, class := range "ABbCD" {
		fmt.Fprintf(&table, "%22c", class)
	}
	seed := uint64(time.Now().UnixNano()) // #nosec G115 -- a seed
	t.Logf("seed %d", seed)
	for s, strategy := range strategies {
		fmt.Fprintf(&table, "\n%-28s", strategy.name)
		for _, class := range "ABbCD" {
			n := *simulated / 5
			var got tally
			for from := 0; from < n; from += together {
				synctest.Test(t, func(t *testing.T) {
					var wg sync.WaitGroup
					for i := from; i < min(from+together, n); i++ {
						rng := rand.New(rand.NewPCG(seed, uint64(i))) // #nosec G404 G115 -- the same for each strategy
						wg.Go(func() { got.simulate(byte(class), strategy, rng, i) })
					}
					wg.Wait()
				})
			}
			fmt.Fprintf(&table, "%22s", fmt.Sprintf("%d / %d / %d", got.duplicated.Load(), got.lost.Load(), got.asked.Load()))
			if s == len(strategies)-1 {
				require.Zero(t, got.duplicated.Load(), "duplicates on class %c, seed %d", class, seed)
				require.Zero(t, got.lost.Load(), "lost on class %c, seed %d", class, seed)
				// B without a search asks, too, once its window is over.
				require.Equal(t, class == 'D' || class == 'B', got.asked.Load() > 0, "given to a person on class %c, seed %d", class, seed)
			} else if class == 'D' {
				require.Positive(t, got.duplicated.Load(), "the world must be able to show duplicates: %s", strategy.name)
			}
		}
	}
	t.Log(table.String())
}

// simulate is one write.
func (y *tally) simulate(class byte, s strategy, rng *rand.Rand, i int) {
	w := newWorld(class)
	w.Key.ID = fmt.Sprint(i)
	w.Backoff = []time.Duration{time.Second, 20 * time.Second, 10 * time.Minute}[rng.IntN(3)] // the last as in an outage
	var faults []dovetailtest.TargetFault
	for range rng.IntN(4) {
		faults = append(faults, dovetailtest.TargetFault(rng.IntN(int(dovetailtest.TargetAnswers429)+1))) // #nosec G115 -- few
	}
	w.Target.Fail(faults...)
	deaths := rng.IntN(2)
	died := func() bool {
		deaths--
		return deaths >= 0
	}
	asked := s.run(w, died, invoice{Number: strings.Repeat("R", rng.IntN(8)), Cents: int64(i)})
	time.Sleep(w.Quiet)
	switch n := len(w.Target.Of(w.Key)); {
	case n == 0:
		y.lost.Add(1)
	case n > 1:
		y.duplicated.Add(1)
	}
	if asked {
		y.asked.Add(1)
	}
}
