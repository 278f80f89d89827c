package sync_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tectari/dovetail/alert"
	datasync "github.com/tectari/dovetail/sync"
)

// TestMassDeletionStopsUntilAPersonApproves: a cleaned-out CRM does not clean out
// the ERP. No more go than the brake allows, one person is told once, and their
// approval lets the rest go.
func TestMassDeletionStopsUntilAPersonApproves(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.fill(t, 100)
		for i := range 60 {
			r.crm.Remove(id(i), "script")
		}
		r.runFor(t, 20*time.Minute)
		require.GreaterOrEqual(t, len(r.erp.All()), 80, "more were deleted than the brake allows")
		require.Equal(t, []string{"firing erp deletes"}, r.person.heard(alert.Brake))
		require.NoError(t, r.link.Approve(t.Context(), "erp/deletes", "ana", "they left us"))
		r.runFor(t, 10*time.Minute)
		require.Len(t, r.erp.All(), 40)
		require.Equal(t, []string{"firing erp deletes", "resolved erp deletes"}, r.person.heard(alert.Brake))
	})
}

// TestDeletionsThatComeSlowlyAreCountedTogether: one every other minute, each
// done before the next is known, with a restart between them. Nothing ever waits,
// so only what is counted over the day and kept in the store can stop it.
func TestDeletionsThatComeSlowlyAreCountedTogether(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.fill(t, 60)
		for i := range 40 {
			r.crm.Remove(id(i), "script")
			r.runFor(t, 2*time.Minute)
			r.reopen(t)
		}
		require.Len(t, r.erp.All(), 40, "20 a day, no more and no less")
		require.Equal(t, []string{"firing erp deletes"}, r.person.heard(alert.Brake))
		time.Sleep(25 * time.Hour)
		r.runFor(t, 5*time.Minute)
		require.Len(t, r.erp.All(), 20, "the next day allows as many again")
	})
}

// TestOrdinaryDeletionsPass: a brake that stops ordinary days is taken out.
func TestOrdinaryDeletionsPass(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.fill(t, 100)
		for i := range 20 {
			r.crm.Remove(id(i), "ann")
		}
		r.runFor(t, 5*time.Minute)
		require.Len(t, r.erp.All(), 80)
		require.Empty(t, r.person.heard(alert.Brake))
	})
}

// TestApprovalIsForWhatWasHeld: who approved 40 deletions did not approve the
// second mistake of the same hour.
func TestApprovalIsForWhatWasHeld(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.fill(t, 200)
		for i := range 60 {
			r.crm.Remove(id(i), "script")
		}
		r.runFor(t, 5*time.Minute)
		require.NoError(t, r.link.Approve(t.Context(), "erp/deletes", "ana", "they left us"))
		r.runFor(t, 5*time.Minute)
		before := len(r.erp.All())
		require.Equal(t, 140, before)
		for i := 60; i < 150; i++ {
			r.crm.Remove(id(i), "script")
		}
		r.runFor(t, 5*time.Minute)
		require.GreaterOrEqual(t, len(r.erp.All()), before-20, "the approval let through what it was not given for")
		require.Equal(t, []string{"firing erp deletes", "resolved erp deletes", "firing erp deletes"}, r.person.heard(alert.Brake))
	})
}

// TestApprovalOutlivesTheProcessAndEnds: it is kept in the store, for an hour.
func TestApprovalOutlivesTheProcessAndEnds(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]time.Duration{"within the hour": 50 * time.Minute, "after it": 61 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inTime(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.fill(t, 100)
				for i := range 60 {
					r.crm.Remove(id(i), "script")
				}
				r.runFor(t, 5*time.Minute)
				left := len(r.erp.All())
				r.reopen(t)
				require.NoError(t, r.link.Approve(t.Context(), "erp/deletes", "ana", "they left us"))
				r.reopen(t)
				time.Sleep(wait)
				r.runFor(t, 5*time.Minute)
				if wait < time.Hour {
					require.Len(t, r.erp.All(), 40)
				} else {
					require.Len(t, r.erp.All(), left, "the approval was given for an hour")
				}
			})
		})
	}
}

// TestApproveRefusesWhatHoldsNothing: an approval with a slip in its name would be
// kept, and change nothing; one given in advance would let through what nobody has
// seen. The error names what does hold.
func TestApproveRefusesWhatHoldsNothing(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.fill(t, 100)
		require.ErrorContains(t, r.link.Approve(t.Context(), "erp/deletes", "ana", "why"), "no other brake does")
		for i := range 60 {
			r.crm.Remove(id(i), "script")
		}
		r.runFor(t, 5*time.Minute)
		for _, brake := range []string{"crm/deletes", "erp/missing", "erp/nulls/email"} {
			require.ErrorContains(t, r.link.Approve(t.Context(), brake, "ana", "why"), "these do: erp/deletes", brake)
		}
		for _, brake := range []string{"epr/deletes", "erp/delete", "erp/nulls/mail", "erp", "/"} {
			require.ErrorContains(t, r.link.Approve(t.Context(), brake, "ana", "why"), "no brake", brake)
		}
		require.Error(t, r.link.Approve(t.Context(), "erp/deletes", "", "why"))
		require.Error(t, r.link.Approve(t.Context(), "erp/deletes", "ana", ""))
		left := len(r.erp.All())
		r.runFor(t, 5*time.Minute)
		require.Len(t, r.erp.All(), left, "an approval of another brake let this one go")
	})
}

// TestBrakeThatHasNothingToHoldEnds: the deletions were taken back at the source;
// the alert is over without anybody's approval.
func TestBrakeThatHasNothingToHoldEnds(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		r := newRig(t, func(c *datasync.Config[contact]) { c.Brakes.Deletes, c.Brakes.DeleteShare = 5, 0.001 })
		r.fill(t, 30)
		for i := range 20 {
			r.crm.Remove(id(i), "script")
		}
		r.runFor(t, 5*time.Minute)
		require.Equal(t, []string{"firing erp deletes"}, r.person.heard(alert.Brake))
		for i := range 20 {
			r.crm.Put(id(i), "ann", contact{Name: "n", Email: "back@example.com"})
		}
		r.reopen(t)
		r.runFor(t, 10*time.Minute)
		require.Equal(t, []string{"firing erp deletes", "resolved erp deletes"}, r.person.heard(alert.Brake))
		require.Len(t, r.erp.All(), 30)
	})
}
