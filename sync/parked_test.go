package sync_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/conflict"
	"github.com/tectari/dovetail/ownership"
	datasync "github.com/tectari/dovetail/sync"
)

// phonesPark: two phones that disagree wait for a person.
func phonesPark(c *datasync.Config[contact]) {
	c.Resolvers = conflict.Fields{"phone": conflict.Park()}
}

// disagree makes both sides change the phones of records before either has seen
// the other's, and returns the keys of the records. The ERP is down meanwhile, so
// that its change is the one that comes second.
func disagree(t *testing.T, r *rig, records ...int) (keys []string) {
	t.Helper()
	r.erp.Down(true)
	for _, i := range records {
		r.crm.Edit(id(i), "ann", func(c *contact) { c.Phone = "2" })
	}
	r.runFor(t, 5*time.Minute)
	for _, i := range records {
		key, ok, err := r.link.Key(t.Context(), "crm", id(i))
		require.NoError(t, err)
		require.True(t, ok)
		keys = append(keys, key)
	}
	for there := range r.erp.All() {
		key, _, err := r.link.Key(t.Context(), "erp", there)
		require.NoError(t, err)
		if slices.Contains(keys, key) {
			r.erp.Edit(there, "bob", func(c *contact) { c.Phone = "3" })
		}
	}
	r.erp.Down(false)
	r.runFor(t, 10*time.Minute)
	return keys
}

// TestParkedProblemEndsWithItsLastRecord: it stays while one record waits, ends
// when a person has decided all of them, begins again with the next, and a restart
// in between changes nothing.
func TestParkedProblemEndsWithItsLastRecord(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		r := newRig(t, phonesPark)
		r.fill(t, 3)
		keys := disagree(t, r, 0, 1)
		require.Equal(t, []string{"firing erp  phone"}, r.person.heard(alert.ParkedRecord))

		require.NoError(t, r.link.Settle(t.Context(), keys[0], "phone", dovetail.String("2"), "ana", "asked the customer"))
		r.runFor(t, 10*time.Minute)
		require.Len(t, r.person.heard(alert.ParkedRecord), 1, "one still waits")

		require.NoError(t, r.link.Settle(t.Context(), keys[1], "phone", dovetail.String("2"), "ana", "asked the customer"))
		r.reopen(t)
		r.runFor(t, 10*time.Minute)
		require.Equal(t, []string{"firing erp  phone", "resolved erp  phone"}, r.person.heard(alert.ParkedRecord))

		disagree(t, r, 2)
		require.Len(t, r.person.heard(alert.ParkedRecord), 3)
	})
}

// TestParkedRecordEndsWhenItIsResumed: a whole record, and a stray of which
// nothing is stored.
func TestParkedRecordEndsWhenItIsResumed(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		r := newRig(t, func(c *datasync.Config[contact]) { c.Exists = c.Exists.OnForeignDelete(ownership.AskDeletion) })
		r.fill(t, 1)
		for there := range r.erp.All() {
			r.erp.Remove(there, "bob")
		}
		r.erp.Put("x1", "bob", contact{Name: "nobody's"})
		r.runFor(t, 10*time.Minute)
		require.ElementsMatch(t, []string{"firing erp record", "firing erp stray"}, r.person.heard(alert.ParkedRecord))
		key, _, err := r.link.Key(t.Context(), "crm", id(0))
		require.NoError(t, err)
		require.NoError(t, r.link.Resume(t.Context(), key, "ana", "deleted by mistake"))
		r.runFor(t, 10*time.Minute)
		require.Contains(t, r.person.heard(alert.ParkedRecord), "resolved erp record")
		require.NotContains(t, r.person.heard(alert.ParkedRecord), "resolved erp stray")
		r.runFor(t, 25*time.Hour)
		require.Contains(t, r.person.heard(alert.ParkedRecord), "resolved erp stray")
	})
}
