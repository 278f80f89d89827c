package outbox_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
)

func TestBlockKeyWaitsForAPerson(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		s.set(failing(dovetail.Invalid, "k1"))
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s})
		defer b.run()()
		b.send(msg("a", "k", "k1"), msg("a", "k", "k2"), msg("a", "l", "l1"))
		time.Sleep(time.Minute)
		b.send(msg("a", "k", "k3"))
		time.Sleep(time.Hour)
		require.Equal(t, []string{"l1"}, s.ids(), "its key waits, other keys do not")
		require.Equal(t, 2, s.attempts(), "bad messages are not retried")
		require.Contains(t, b.told.lines(), "report dead-letter a")
		require.Contains(t, b.told.lines(), "report stuck a", "what waits behind it is not forgotten")
		letters := b.letters(outbox.Filter{Destination: "a"})
		require.Len(t, letters, 1)
		require.Equal(t, dovetail.Invalid, letters[0].Class)

		s.set(nil)
		n, err := b.queue.Replay(t.Context(), outbox.Filter{Destination: "a"}, "ana")
		require.NoError(t, err)
		require.Equal(t, 1, n)
		time.Sleep(time.Second)
		require.Equal(t, []string{"l1", "k1", "k2", "k3"}, s.ids())
		time.Sleep(5 * time.Minute)
		require.Contains(t, b.told.lines(), "clear dead-letter a: replay by ana")
		require.Contains(t, b.told.lines(), "clear stuck a: no message waits too long any more")
	})
}

func TestDiscardLetsTheKeyGoOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		s.set(failing(dovetail.Permanent, "1"))
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s})
		defer b.run()()
		b.send(msg("a", "k", "1"), msg("a", "k", "2"), msg("a", "k", "3"))
		time.Sleep(time.Minute)
		_, err := b.queue.Discard(t.Context(), outbox.Filter{}, "ana", "")
		require.ErrorIs(t, err, outbox.ErrNoReason)
		n, err := b.queue.Discard(t.Context(), outbox.Filter{IDs: []string{"1"}}, "ana", "the order was cancelled")
		require.NoError(t, err)
		require.Equal(t, 1, n)
		time.Sleep(time.Second)
		require.Equal(t, []string{"2", "3"}, s.ids())
	})
}

func TestSkipToDeadGoesOnAndReplaysInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		s.set(failing(dovetail.Transient, "1", "3"))
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s, Poison: outbox.SkipToDead, Attempts: 3})
		defer b.run()()
		for i := range 6 {
			b.send(msg("a", "k", fmt.Sprint(i)))
		}
		time.Sleep(time.Hour)
		require.Equal(t, []string{"0", "2", "4", "5"}, s.ids())
		require.Equal(t, 4+2*3, s.attempts())
		s.set(nil)
		_, err := b.queue.Replay(t.Context(), outbox.Filter{}, "ana")
		require.NoError(t, err)
		time.Sleep(time.Second)
		require.Equal(t, []string{"0", "2", "4", "5", "1", "3"}, s.ids(), "in the order of the key")
	})
}

func TestLatestWinsDeliversTheNewestOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{slow: time.Second}
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s, Poison: outbox.LatestWins})
		defer b.run()()
		b.send(msg("a", "k", "1"))
		time.Sleep(500 * time.Millisecond)
		for _, id := range []string{"2", "3", "4"} { // while 1 is in flight
			b.send(msg("a", "k", id))
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		require.Equal(t, []string{"1", "4"}, s.ids(), "what arrives meanwhile is delivered afterwards, the newest of it")
		require.Equal(t, 1, s.peak())
		require.Positive(t, b.told.count("outbox.superseded"), "what was dropped is told")

		s.set(failing(dovetail.Transient, "5"))
		b.send(msg("a", "k", "5"))
		time.Sleep(20 * time.Second)
		b.send(msg("a", "k", "6"))
		time.Sleep(time.Hour)
		require.Equal(t, []string{"1", "4", "6"}, s.ids(), "a newer one replaces one that is retried")

		s.set(failing(dovetail.Invalid, "7"))
		b.send(msg("a", "k", "7"))
		time.Sleep(10 * time.Second)
		require.Len(t, b.letters(outbox.Filter{}), 1)
		b.send(msg("a", "k", "8"))
		time.Sleep(10 * time.Second)
		require.Equal(t, []string{"1", "4", "6", "8"}, s.ids())
		require.Empty(t, b.letters(outbox.Filter{}), "a dead letter that a delivered one replaces is over")
	})
}

func TestPauseSurvivesARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s})
		stop := b.run()
		require.ErrorIs(t, b.queue.Pause(t.Context(), "a", "ana", ""), outbox.ErrNoReason)
		require.NoError(t, b.queue.Pause(t.Context(), "a", "ana", "month-end"))
		b.send(msg("a", "k", "1"))
		time.Sleep(time.Minute)
		stop()
		next := newBench(t, b.store, outbox.Destination{Name: "a", Handler: s})
		defer next.run()()
		time.Sleep(time.Minute)
		require.Empty(t, s.ids())
		require.Equal(t, "month-end", next.lag("a").Paused.Why)
		// Resumed in a process without a relay, it goes on in the one with it.
		require.NoError(t, b.queue.Resume(t.Context(), "a", "ana", "closed"))
		time.Sleep(2 * time.Second)
		require.Equal(t, []string{"1"}, s.ids())
	})
}

func TestStuckIsToldWithoutARelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil, outbox.Destination{Name: "a"})
		b.send(msg("a", "k", "1"))
		for range 12 {
			time.Sleep(time.Minute)
			b.send(msg("a", "k", "x"))
		}
		synctest.Wait()
		require.Contains(t, b.told.lines(), "report stuck a")
	})
}
