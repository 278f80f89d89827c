package sync_test

import (
	"context"
	"flag"
	"fmt"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/alert"
)

var (
	histories = flag.Int("histories", 0, "random histories of TestHistories; 0 for the default")
	firstSeed = flag.Uint64("seed", 1, "first seed of TestHistories")
)

// history runs one history and returns what broke, "" if nothing.
func history(seed uint64, mutant string, alerts *alert.Manager, told bool) (string, []string) {
	w, err := newWorld(seed, mutant, alerts)
	if err != nil {
		return err.Error(), nil
	}
	ctx := context.Background()
	w.on, w.told = true, told
	for range 15 + w.rng.IntN(25) {
		w.step(ctx)
	}
	w.heal(ctx)
	w.verify(ctx)
	return w.broken, w.trace
}

// run looks for a seed in [from, from+n) that breaks a promise.
func run(t *testing.T, mutant string, from uint64, n int) (seed uint64, what string, trace []string) {
	t.Helper()
	debug.SetGCPercent(800) // a history leaves nothing behind; collecting it early is a third of the time
	synctest.Test(t, func(t *testing.T) {
		alerts := told(t)
		for seed = from; seed < from+uint64(n); seed++ {
			if what, _ = history(seed, mutant, alerts, false); what != "" {
				_, trace = history(seed, mutant, alerts, true)
				return
			}
		}
	})
	return seed, what, trace
}

// TestHistories runs random histories of two or three systems with people who
// edit and trespass, calls that time out before or after they took effect,
// requests that arrive late, crashes, webhooks that are lost, repeated and
// reordered, messages that a person throws away, and systems that rewrite what they
// are given. It checks P1 to P5 when things have gone quiet, and on the way:
//
//   - I6: after a write of unknown outcome the record is read before it is written
//     again (simRemote.Update)
//   - I7: no field is written at its owner (mayWrite)
//   - I8: what one of our creates made is not taken for a new record (verify: two
//     records for one key, or a value that nobody set)
//   - I9: work that no message stands for is found in the store (heal, by a sweep)
//   - I10: an idle run writes nothing (verify)
//   - I11: no edit of a shared field is overwritten before it was seen, where the
//     system has conditional writes (simRemote.write)
//   - I12: all that with a crash at any commit and call (world.point)
func TestHistories(t *testing.T) {
	t.Parallel()
	n := *histories
	if n == 0 {
		n = defaultHistories
	}
	const workers = 4
	var done atomic.Int64
	t.Run("seeds", func(t *testing.T) {
		for w := range workers {
			t.Run(fmt.Sprint(w), func(t *testing.T) {
				t.Parallel()
				per := n / workers
				seed, what, trace := run(t, "", *firstSeed+uint64(w*per), per)
				require.Empty(t, what, "seed %d (go test ./sync -run TestHistories -args -seed %d -histories 4)\n%s", seed, seed, strings.Join(trace, "\n"))
				done.Add(int64(per))
			})
		}
	})
	t.Logf("%d histories", done.Load())
}
