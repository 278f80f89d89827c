package sync_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/ownership"
	datasync "github.com/tectari/dovetail/sync"
)

func speaks(c *datasync.Config[contact]) { c.Systems[0].SilentAfter = 2 * time.Hour }

// TestSilenceIsToldOnceAndEnds: a source that should speak does not, for however
// long; one person is told once, and told that it speaks again.
func TestSilenceIsToldOnceAndEnds(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		r := newRig(t, speaks)
		r.fill(t, 3)
		r.runFor(t, 110*time.Minute)
		require.Empty(t, r.person.heard(alert.Silent))
		r.runFor(t, 2*time.Hour)
		require.Equal(t, []string{"firing crm"}, r.person.heard(alert.Silent))
		r.crm.Edit(id(1), "ann", func(c *contact) { c.Name = "new" })
		r.runFor(t, 5*time.Minute)
		require.Equal(t, []string{"firing crm", "resolved crm"}, r.person.heard(alert.Silent))
	})
}

// TestSilenceOutlivesRestarts: a process that is restarted every hour hears
// nothing for two.
func TestSilenceOutlivesRestarts(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		r := newRig(t, speaks)
		r.fill(t, 3)
		for range 3 {
			r.reopen(t)
			r.runFor(t, 2*time.Minute)
			time.Sleep(58 * time.Minute)
		}
		r.reopen(t)
		r.runFor(t, 2*time.Minute)
		require.Equal(t, []string{"firing crm"}, r.person.heard(alert.Silent))
		r.crm.Edit(id(1), "ann", func(c *contact) { c.Name = "new" })
		r.reopen(t)
		r.runFor(t, 3*time.Minute)
		require.Equal(t, []string{"firing crm", "resolved crm"}, r.person.heard(alert.Silent))
	})
}

// TestOutageIsNotSilence: a system that cannot be read is down, and that is told.
// What it says right after is heard before anybody calls it silent.
func TestOutageIsNotSilence(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		r := newRig(t, speaks)
		r.fill(t, 3)
		r.crm.Down(true)
		r.runFor(t, 3*time.Hour)
		r.crm.Edit(id(1), "ann", func(c *contact) { c.Name = "new" })
		r.crm.Down(false)
		r.runFor(t, 30*time.Minute)
		require.Empty(t, r.person.heard(alert.Silent))
		require.Equal(t, []string{"firing crm", "resolved crm"}, r.person.heard(alert.Down))
	})
}

// mute is a system that can be read by ID and written, and tells nothing by
// itself: webhooks are all there is.
type mute struct{ s *dovetailtest.System[contact] }

func (m mute) Get(ctx context.Context, id string) (datasync.Observation[contact], error) {
	return m.s.Get(ctx, id)
}

func (m mute) Create(ctx context.Context, c datasync.Create[contact]) (datasync.Observation[contact], error) {
	return m.s.Create(ctx, c)
}

func (m mute) Update(ctx context.Context, u datasync.Update[contact]) (datasync.Observation[contact], error) {
	return m.s.Update(ctx, u)
}

// TestSystemThatSpeaksByWebhooksAloneIsWatched: there is no poll that could
// notice that the subscription was lost.
func TestSystemThatSpeaksByWebhooksAloneIsWatched(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		r := newRig(t, func(c *datasync.Config[contact]) {
			c.Systems[1].Endpoint = mute{c.Systems[1].Endpoint.(*dovetailtest.System[contact])}
			c.Systems[1].SilentAfter = 2 * time.Hour
			for _, f := range []string{"name", "email", "phone", "vat"} {
				c.Fields[f] = ownership.By("crm")
			}
			c.Resolvers = nil
		})
		r.fill(t, 3)
		r.runFor(t, 130*time.Minute)
		require.Equal(t, []string{"firing erp"}, r.person.heard(alert.Silent))
		for id := range r.erp.All() {
			r.erp.Edit(id, "bob", func(c *contact) { c.Phone = "2" })
			require.NoError(t, r.link.Hint(t.Context(), "erp", id, ""))
		}
		r.runFor(t, 5*time.Minute)
		require.Equal(t, []string{"firing erp", "resolved erp"}, r.person.heard(alert.Silent))
	})
}

// TestAskingIsNotHearing: reads that we begin ourselves, of records that did not
// change, and strangers that are listed again and again, are no speech.
func TestAskingIsNotHearing(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		r, _ := newListed(t, 3, func(c *datasync.Config[contact]) {
			c.Systems[1].SilentAfter = 2 * time.Hour
		})
		r.erp.Put("stranger", "bob", contact{Name: "nobody of ours"})
		for range 5 {
			require.NoError(t, r.link.Reconcile(t.Context(), dovetail.System("erp")))
			for id := range r.erp.All() {
				require.NoError(t, r.link.Hint(t.Context(), "erp", id, ""))
			}
			r.runFor(t, 30*time.Minute)
		}
		require.Equal(t, []string{"firing erp"}, r.person.heard(alert.Silent))
	})
}
