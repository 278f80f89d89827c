package outbox_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
)

// TestALookThatHangsIsToldAndRepeated: a database that keeps a question for ever,
// over a connection whose other end is gone, must not end the watch.
func TestALookThatHangsIsToldAndRepeated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, told := &sulky{Store: memstore.New()}, &told{}
		store.mute.Store(true)
		s := &sink{}
		s.set(always(dovetail.Transient))
		q := queueOn(t, store, told, outbox.Destination{Name: "a", Handler: s, StuckAfter: time.Minute})
		stop := runQueue(t, q)
		defer stop()
		send(t, q, msg("a", "k", "1"))
		time.Sleep(3 * time.Minute)
		told.mu.Lock()
		failed := slices.ContainsFunc(told.events, func(e dovetail.Event) bool { return e.Name == "outbox.watch" && e.Err != nil })
		told.mu.Unlock()
		require.True(t, failed, "that nobody could look is told")
		require.NotContains(t, told.lines(), "report stuck a")
		store.mute.Store(false)
		time.Sleep(time.Minute)
		require.Contains(t, told.lines(), "report stuck a")
	})
}

// A hangingAlerts does not come back from a report, while hangs is set.
type hangingAlerts struct {
	*told
	hangs atomic.Bool
}

func (a *hangingAlerts) Report(ctx context.Context, p alert.Problem) error {
	if a.hangs.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return a.told.Report(ctx, p)
}

// TestAnAlertThatHangsIsToldLater: what a person must know is kept and told again.
func TestAnAlertThatHangsIsToldLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		alerts := &hangingAlerts{told: &told{}}
		alerts.hangs.Store(true)
		s := &sink{}
		s.set(always(dovetail.Invalid))
		q := queueOn(t, memstore.New(), alerts.told, outbox.Destination{Name: "a", Handler: s})
		outbox.SetAlerts(q, alerts)
		stop := runQueue(t, q)
		defer stop()
		send(t, q, msg("a", "k", "1"))
		time.Sleep(time.Minute)
		require.Empty(t, slices.DeleteFunc(alerts.lines(), func(l string) bool { return l[:6] != "report" }))
		alerts.hangs.Store(false)
		time.Sleep(time.Minute)
		require.NotEmpty(t, slices.DeleteFunc(alerts.lines(), func(l string) bool { return l[:6] != "report" }))
	})
}
