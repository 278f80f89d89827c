//go:build !race

package outbox_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
)

// TestAnHourOfDowntimeWith100000Waiting answers what happens when the other system
// is down for an hour: nothing is lost, no attempt is burnt, it is asked no more
// than every two seconds, others do not notice, and all is delivered afterwards.
// The race detector would make minutes of it, and finds no more here than in the
// other outages.
func TestAnHourOfDowntimeWith100000Waiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const waiting, keys = 100_000, 10_000
		down, other := &sink{}, &sink{}
		var mu sync.Mutex
		var took []time.Duration // of the other destination
		other.set(func(d outbox.Delivery) error {
			mu.Lock()
			defer mu.Unlock()
			took = append(took, time.Since(d.Enqueued))
			return nil
		})
		b := newBench(t, nil, outbox.Destination{Name: "down", Handler: down}, outbox.Destination{Name: "other", Handler: other})
		defer b.run()()
		sent := 0
		// others sends to the destination that is up, each second for a while, and
		// returns the 99th percentile of how long they took.
		others := func(seconds int) time.Duration {
			took = nil
			for range seconds {
				b.send(msg("other", fmt.Sprint("k", sent%50), fmt.Sprint("other-", sent)))
				sent++
				time.Sleep(time.Second)
			}
			slices.Sort(took)
			return took[len(took)*99/100]
		}
		normal := others(600)

		down.set(func(outbox.Delivery) error { return dovetail.NewError(dovetail.Unavailable, "write", "down") })
		var msgs []outbox.Message
		for i := range waiting {
			msgs = append(msgs, msg("down", fmt.Sprint("k", i%keys), fmt.Sprint(i)))
		}
		for part := range slices.Chunk(msgs, 1000) {
			b.send(part...)
		}
		time.Sleep(2 * time.Second) // those that were under way have ended
		before, began := down.attempts(), time.Now()
		during := others(3600)
		require.LessOrEqual(t, down.attempts()-before, int(time.Since(began)/(2*time.Second))+1, "one probe every two seconds at the most")
		require.LessOrEqual(t, during, normal+normal/10, "others do not notice")
		require.True(t, b.lag("down").Down)

		var first time.Time
		burnt := 0
		down.set(func(d outbox.Delivery) error {
			if first.IsZero() {
				first = time.Now()
			}
			if d.Attempt != 1 {
				burnt++
			}
			return nil
		})
		recovered := time.Now()
		time.Sleep(5 * time.Minute)
		require.Less(t, first.Sub(recovered), 3*time.Second, "the first is delivered soon")
		require.Zero(t, burnt, "no attempt was burnt")
		got := down.ids()
		require.Len(t, got, waiting)
		last := make([]int, keys)
		for i := range last {
			last[i] = -1
		}
		for _, id := range got {
			var n int
			_, err := fmt.Sscan(id, &n)
			require.NoError(t, err)
			require.Greater(t, n, last[n%keys], "the order of a key")
			last[n%keys] = n
		}
		require.Len(t, other.ids(), sent)
	})
}
