package outbox_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
)

// A handler that defers has asked nothing of the system, so the outage goes on,
// and another message may probe at once.
func TestDeferralIsNoRecovery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		s.set(func(d outbox.Delivery) error {
			if d.ID == "waits" {
				return outbox.Defer(5*time.Second, "waits for its parent; nothing was sent")
			}
			return dovetail.NewError(dovetail.Unavailable, "write", "down")
		})
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s, Concurrency: 4})
		defer b.run()()
		b.send(msg("a", "k0", "waits"))
		for i := range 20 {
			b.send(msg("a", fmt.Sprint("k", i+1), fmt.Sprint(i)))
		}
		time.Sleep(20 * time.Minute)
		require.NotContains(t, b.told.lines(), "recovering down a")
		require.True(t, b.lag("a").Down)

		s.set(nil)
		time.Sleep(10 * time.Second)
		require.Len(t, s.ids(), 21)
	})
}

func TestProbeThatIsDeferredGivesItsTurnToTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		s.set(always(dovetail.Unavailable))
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s, Concurrency: 1, ProbeEvery: time.Minute})
		defer b.run()()
		for i := range 50 {
			b.send(msg("a", fmt.Sprint("k", i), fmt.Sprint(i)))
		}
		time.Sleep(time.Second)
		s.set(func(d outbox.Delivery) error {
			if d.ID < "49" {
				return outbox.Defer(time.Hour, "waits for its parent")
			}
			return nil
		})
		time.Sleep(90 * time.Second)
		require.Contains(t, s.ids(), "49", "49 deferrals did not cost 49 minutes")
	})
}

// The first answer ends the outage; what became of the backlog is told with the
// end of the problem.
func TestRecoveryIsToldAtTheFirstAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		s.set(always(dovetail.Unavailable))
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s, Concurrency: 1, Poison: outbox.SkipToDead})
		defer b.run()()
		for i := range 20 {
			b.send(msg("a", fmt.Sprint("k", i), fmt.Sprint(i)))
		}
		time.Sleep(2 * time.Minute)
		s.set(failing(dovetail.Invalid, "3"))
		s.mu.Lock()
		s.slow = time.Second // twenty seconds for the backlog
		s.mu.Unlock()
		time.Sleep(4 * time.Second)
		require.Contains(t, b.told.lines(), "recovering down a")
		require.NotContains(t, strings.Join(b.told.lines(), "\n"), "clear down a")
		time.Sleep(time.Minute)
		require.Regexp(t, `clear down a: lasted 2m[0-3]s, 19 caught up, 0 lost, 1 in the dead letters`, strings.Join(b.told.lines(), "\n"))
	})
}

// The process dies between the last delivery and the end of the outage: there is
// nothing left to deliver that could show the next one that the system is up.
func TestOutageEndsInAProcessThatHasNothingToDeliver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: &sink{}})
		defer b.run()()
		time.Sleep(5 * time.Minute)
		require.Contains(t, b.told.lines(), "clear down a: nothing waits for it")
		require.Contains(t, b.told.lines(), "clear auth a: nothing waits for it")
	})
}

// After an outage of 20 minutes everything that waits is older than StuckAfter.
// That is the outage's own news; it is told as stuck only if it is still there when
// it has had as long as any message has.
func TestBacklogOfAnOutageIsNotStuckAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		s.set(always(dovetail.Unavailable))
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s, Concurrency: 1})
		defer b.run()()
		for i := range 100 {
			b.send(msg("a", fmt.Sprint("k", i), fmt.Sprint(i)))
		}
		time.Sleep(20 * time.Minute)
		require.Contains(t, b.told.lines(), "report stuck a")
		s.set(nil)
		s.mu.Lock()
		s.slow = 10 * time.Second // a thousand seconds for the backlog
		s.mu.Unlock()
		time.Sleep(time.Minute)
		after := len(b.told.lines())
		require.Contains(t, b.told.lines(), "clear stuck a: no message waits too long any more")
		time.Sleep(8 * time.Minute)
		require.NotContains(t, b.told.lines()[after:], "report stuck a")
		time.Sleep(3 * time.Minute)
		require.Contains(t, b.told.lines()[after:], "report stuck a", "ten minutes later it is")
	})
}
