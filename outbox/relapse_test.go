package outbox_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
)

// TestFallingBackWhileRecoveringIsOneOutage lets a system answer now and then
// before it is well, for each way to deliver.
func TestFallingBackWhileRecoveringIsOneOutage(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]outbox.Destination{
		"single":   {Concurrency: 4},
		"batch":    {Concurrency: 2, BatchSize: 10},
		"rate":     {Concurrency: 4, Rate: 20},
		"adapting": {Concurrency: 4, AdaptConcurrency: true},
		"all":      {Concurrency: 2, BatchSize: 10, Rate: 20, AdaptConcurrency: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &bulk{sink: sink{slow: 10 * time.Millisecond}}
				if d.Name = "a"; d.BatchSize > 0 {
					d.Batch = s
				} else {
					d.Handler = &s.sink
				}
				var answers atomic.Int32
				s.set(func(outbox.Delivery) error {
					if answers.Add(1)%7 == 0 { // one of seven works
						return nil
					}
					return dovetail.NewError(dovetail.Unavailable, "write", "down")
				})
				b := newBench(t, nil, d)
				defer b.run()()
				b.sendMany("a", 400, 50)
				time.Sleep(20 * time.Minute)
				tries := s.times()[20:]    // without the calls that found it down
				for _, at := range tries { // where it succeeded, one more goes out
					near := 0
					for _, other := range tries {
						if gap := other.Sub(at); gap >= 0 && gap < 1900*time.Millisecond {
							near++
						}
					}
					require.LessOrEqual(t, near, 3, "it is probed gently")
				}
				s.set(nil)
				time.Sleep(5 * time.Minute)
				require.Len(t, s.ids(), 400)
				said := slices.DeleteFunc(b.told.lines(), func(line string) bool {
					return !strings.Contains(line, " down ") || strings.Contains(line, "deliveries work")
				})
				// Each answer is told as a recovery, and each relapse takes that back: the alerts
				// hold an end for a while. What is told as the end is told once.
				require.Regexp(t, `^report down a\n((recovering|report) down a\n)*clear down a: lasted 20m\d*s, \d+ caught up, 0 lost(\nclear down a: nothing waits for it)?$`,
					strings.Join(said, "\n"), "it is over once: one problem from first to last")
				for _, e := range b.told.all() {
					require.LessOrEqual(t, e.Attempt, 1, "no attempt was burnt")
				}
				require.Empty(t, s.torn())
			})
		})
	}
}
