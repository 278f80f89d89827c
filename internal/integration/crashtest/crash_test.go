// Package crashtest proves what happens when the program dies, or worse, at every
// single side effect.
package crashtest

import (
	"database/sql/driver"
	"flag"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tectari/dovetail/dovetailtest"
	"modernc.org/sqlite"
)

var update = flag.Bool("update", false, "rewrite testdata/points.golden")

// TestMain gives SQLite the clock of the test, which is fake in a bubble: the
// leases in the database run by it.
func TestMain(m *testing.M) {
	sqlite.MustRegisterScalarFunction("unixepoch", 1, func(*sqlite.FunctionContext, []driver.Value) (driver.Value, error) {
		return float64(time.Now().UnixMicro()) / 1e6, nil
	})
	if path := os.Getenv(childEnv); path != "" {
		os.Exit(child(path))
	}
	os.Exit(m.Run())
}

// points collects the labels that came up in any run.
type points struct {
	mu     sync.Mutex
	labels map[string]int
	missed int // strikes that were not reached
}

func (p *points) add(w *world) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for label, n := range w.labels {
		p.labels[label] = max(p.labels[label], n)
	}
}

func (p *points) miss() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.missed++
}

// play runs the story once, in a bubble of its own, and checks it. It reports
// whether every strike was carried out.
func play(t *testing.T, seen *points, strikes ...dovetailtest.Strike) (struck bool) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, strikes...)
		w.story()
		w.check()
		seen.add(w)
		struck = w.struck == len(w.planned)
	})
	return struck
}

// TestEveryCrashPointOfCustomerAndInvoice strikes with every fault at every side
// effect of the story, one at a time, lets the program recover and compares the
// systems record by record.
func TestEveryCrashPointOfCustomerAndInvoice(t *testing.T) {
	t.Parallel()
	seen := &points{labels: make(map[string]int)}
	play(t, seen)
	strikes := choose(seen.labels, number("DOVETAIL_CRASH_OCCURRENCES", usual))
	step, runs, began := number("DOVETAIL_CRASH_EVERY", everyNth), 0, time.Now()
	t.Run("strike", func(t *testing.T) {
		for i, s := range strikes {
			if i%step != 0 {
				continue
			}
			runs++
			t.Run(s.String(), func(t *testing.T) {
				t.Parallel()
				// Goroutines meet differently each time (writers share commits, and
				// whoever leads one names it), so a strike may need a second try.
				for range 4 {
					if play(t, seen, s) {
						return
					}
				}
				seen.miss()
			})
		}
	})
	t.Logf("%d points, %d strikes of which every %d was carried out: %d runs in %v; %d strikes were not reached",
		len(seen.labels), len(strikes), step, runs, time.Since(began).Round(time.Millisecond), seen.missed)
	require.Less(t, seen.missed*20, runs, "too many strikes were not reached: the story has changed under its list of points")
	golden(t, seen.labels)
}

// TestASecondFaultDuringRecovery kills the program somewhere and strikes again
// somewhere in the run after it, at random. DOVETAIL_CRASH_PAIRS says how often.
func TestASecondFaultDuringRecovery(t *testing.T) {
	t.Parallel()
	seed := uint64(number("DOVETAIL_CRASH_SEED", int(time.Now().UnixNano())))
	t.Logf("DOVETAIL_CRASH_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	seen := &points{labels: make(map[string]int)}
	play(t, seen)
	strikes := choose(seen.labels, 0)
	for range number("DOVETAIL_CRASH_PAIRS", pairs) {
		first := strikes[rng.IntN(len(strikes))]
		for !first.Fault.Deadly() {
			first = strikes[rng.IntN(len(strikes))]
		}
		second := strikes[rng.IntN(len(strikes))]
		t.Run(first.String()+", "+second.String(), func(t *testing.T) {
			t.Parallel()
			play(t, seen, first, second)
		})
	}
}

// choose lists the strikes: all of the first occurrences of each label. One
// failed read of a kind is like another.
func choose(labels map[string]int, most int) []dovetailtest.Strike {
	return slices.DeleteFunc(dovetailtest.Strikes(labels, most), func(s dovetailtest.Strike) bool {
		return s.Read() && s.Nth > 1
	})
}

// golden compares the effects that came up with the list of those that are known.
// A new one fails until somebody has put it there, and so does one that no run
// visits any more. One with a question mark comes up in some runs only. Reads are
// struck too, but not listed: they change with every statement.
func golden(t *testing.T, labels map[string]int) {
	t.Helper()
	const file = "testdata/points.golden"
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	known := make(map[string]bool)
	var now []string
	for line := range strings.Lines(string(text)) {
		label, sometimes := strings.CutSuffix(strings.TrimSpace(line), " ?")
		known[label] = true
		if sometimes || labels[label] > 0 {
			now = append(now, strings.TrimSpace(line))
		}
		if !sometimes && labels[label] == 0 && !*update {
			t.Errorf("no run came to %q: mend the story, or run with -update", label)
		}
	}
	for _, label := range sortedLabels(labels) {
		kind, _, _ := strings.Cut(label, " ")
		if known[label] || kind == "query" || kind == "begin" || kind == "GET" {
			continue
		}
		now = append(now, label)
		if !*update {
			t.Errorf("%q is new: look at what happens when the program dies there, then run with -update", label)
		}
	}
	if *update {
		slices.Sort(now)
		require.NoError(t, os.WriteFile(file, []byte(strings.Join(now, "\n")+"\n"), 0o600))
	}
}

func number(env string, otherwise int) int {
	n, err := strconv.Atoi(os.Getenv(env))
	if err != nil {
		return otherwise
	}
	return n
}
