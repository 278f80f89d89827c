package sync_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/dovetailtest"
	datasync "github.com/tectari/dovetail/sync"
)

// audit returns what an audit finds, as "system field: what".
func (r *rig) audit(t *testing.T) (found []string) {
	t.Helper()
	for d, err := range r.link.Audit(t.Context()) {
		require.NoError(t, err)
		require.Equal(t, "contacts", d.Link)
		found = append(found, fmt.Sprintf("%s %s: %s", d.Ref.System, d.Field, d.What))
	}
	slices.Sort(found)
	return found
}

// erpID is the ERP's ID of a record of the CRM.
func (r *rig) erpID(t *testing.T, id string) string {
	t.Helper()
	key, ok, err := r.link.Key(t.Context(), "crm", id)
	require.NoError(t, err)
	require.True(t, ok)
	for there := range r.erp.All() {
		if k, _, err := r.link.Key(t.Context(), "erp", there); err == nil && k == key {
			return there
		}
	}
	require.Fail(t, "no such record in the ERP")
	return ""
}

// TestAuditFindsEachDrift plants one difference at a time. The audit names it,
// changes nothing (a second one finds the same), and Reconcile repairs what the
// rules can.
func TestAuditFindsEachDrift(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		plant func(*testing.T, *rig)
		found []string
		stays bool // only a person can put it right
	}{
		{"nothing", func(*testing.T, *rig) {}, nil, false},
		{"its owner changed a field", func(_ *testing.T, r *rig) {
			r.crm.Edit(id(1), "ann", func(c *contact) { c.Email = "new@example.com" })
		}, []string{"crm email: it shows a change that was not observed yet"}, false},
		{"somebody else changed an owned field", func(t *testing.T, r *rig) {
			r.erp.Edit(r.erpID(t, id(1)), "bob", func(c *contact) { c.Email = "wrong@example.com" })
		}, []string{"erp email: it shows a change that was not observed yet"}, false},
		{"a field was emptied", func(t *testing.T, r *rig) {
			r.erp.Edit(r.erpID(t, id(1)), "bob", func(c *contact) { c.Name = "" })
		}, []string{"erp name: it shows a change that was not observed yet"}, false},
		{"a shared field differs", func(t *testing.T, r *rig) {
			r.erp.Edit(r.erpID(t, id(1)), "bob", func(c *contact) { c.Phone = "2" })
		}, []string{"erp phone: it shows a change that was not observed yet"}, false},
		{"a shared field waits for a person", func(t *testing.T, r *rig) {
			r.crm.Edit(id(1), "ann", func(c *contact) { c.Phone = "2" })
			r.erp.Edit(r.erpID(t, id(1)), "bob", func(c *contact) { c.Phone = "3" })
			r.read(t, "crm", id(1))
			r.read(t, "erp", r.erpID(t, id(1)))
		}, []string{"erp phone: it waits for a person: the two changes are within the clock skew; a person decides"}, true},
		{"a write is still to be made", func(t *testing.T, r *rig) {
			r.crm.Edit(id(1), "ann", func(c *contact) { c.Email = "new@example.com" })
			r.read(t, "crm", id(1))
		}, []string{"erp email: it has not received the newest value yet"}, false},
		{"the owner's record is gone", func(_ *testing.T, r *rig) { r.crm.Remove(id(1), "ann") },
			[]string{"crm : it is not in the list"}, false},
		{"another's record is gone", func(t *testing.T, r *rig) { r.erp.Remove(r.erpID(t, id(1)), "bob") },
			[]string{"erp : it is not in the list"}, false},
		{"a deletion is still to be made", func(t *testing.T, r *rig) {
			r.crm.Remove(id(1), "ann")
			r.read(t, "crm", id(1))
		}, []string{"erp : its owner deleted it, and it is still there"}, false},
		{"a record is new", func(_ *testing.T, r *rig) { r.crm.Put("new", "ann", contact{Name: "n"}) },
			[]string{"crm : it is linked to no record of ours"}, false},
		{"a create is still to be made", func(t *testing.T, r *rig) {
			r.crm.Put("new", "ann", contact{Name: "n"})
			r.read(t, "crm", "new")
		}, []string{"erp : it was not created there yet"}, false},
		{"a create has an unknown outcome", func(t *testing.T, r *rig) {
			r.crm.Put("new", "ann", contact{Name: "n"})
			r.read(t, "crm", "new")
			key, _, err := r.link.Key(t.Context(), "crm", "new")
			require.NoError(t, err)
			r.erp.LoseReplies(1)
			require.Error(t, r.link.Handle(t.Context(), "contacts/erp", key))
		}, []string{"erp : it is being created there, with an outcome that is not known yet", "erp : it is linked to no record of ours"}, false},
		{"a stranger", func(_ *testing.T, r *rig) { r.erp.Put("stranger", "bob", contact{Name: "n"}) },
			[]string{"erp : it is linked to no record of ours"}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inTime(t, func(t *testing.T) {
				deafened := false
				r := newRig(t, func(c *datasync.Config[contact]) {
					for i := range c.Systems {
						if deafened {
							c.Systems[i].Endpoint = deaf{c.Systems[i].Endpoint.(*dovetailtest.System[contact])}
						}
					}
				})
				r.fill(t, 4)
				deafened = true
				r.reopen(t)
				tt.plant(t, r)
				waiting, writes := r.waiting(t), r.crm.Writes()+r.erp.Writes()
				require.Equal(t, tt.found, r.audit(t))
				require.Equal(t, tt.found, r.audit(t), "an audit repairs nothing")
				require.Equal(t, waiting, r.waiting(t), "an audit asks for nothing")
				require.Equal(t, writes, r.crm.Writes()+r.erp.Writes(), "an audit writes nothing")

				require.NoError(t, r.link.Reconcile(t.Context(), "crm"))
				require.NoError(t, r.link.Reconcile(t.Context(), "erp"))
				r.runFor(t, 10*time.Minute)
				if tt.stays {
					require.Equal(t, tt.found, r.audit(t))
				} else {
					require.Empty(t, r.audit(t))
				}
			})
		})
	}
}

// read takes in what a system shows of one record, and writes nothing.
func (r *rig) read(t *testing.T, system, id string) {
	t.Helper()
	require.NoError(t, r.link.Handle(t.Context(), "contacts/"+system+"/read", id))
}

// TestAuditSaysWhatItCouldNotSee: an audit that is cut short must not look clean.
func TestAuditSaysWhatItCouldNotSee(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		r, crm := newListed(t, 3, nil)
		r.erp.Edit(r.erpID(t, id(1)), "bob", func(c *contact) { c.Name = "wrong" })
		report := func() (errs, drifts int, last datasync.Drift) {
			for d, err := range r.link.Audit(t.Context()) {
				if err != nil {
					errs++
					continue
				}
				drifts, last = drifts+1, d
			}
			return errs, drifts, last
		}
		crm.list = func(cursor string) (datasync.Page[contact], error) {
			return datasync.Page[contact]{More: true, Next: cursor}, nil
		}
		errs, drifts, last := report()
		require.Equal(t, 1, errs, "a cursor that stands still ends the list early")
		require.Equal(t, 1, drifts)
		require.Equal(t, dovetail.System("erp"), last.Ref.System, "the other system is audited all the same")

		crm.list = func(string) (datasync.Page[contact], error) {
			return datasync.Page[contact]{}, dovetail.NewError(dovetail.Unavailable, "list", "down")
		}
		errs, drifts, _ = report()
		require.Equal(t, 1, errs)
		require.Equal(t, 1, drifts)

		crm.list = func(cursor string) (datasync.Page[contact], error) {
			p, err := r.crm.List(context.Background(), cursor)
			p.Records[0].Absent = []string{"no such field"}
			return p, err
		}
		_, drifts, _ = report()
		require.Equal(t, 2, drifts, "a record that cannot be read was not compared")

		crm.list = func(cursor string) (datasync.Page[contact], error) {
			p, err := r.crm.List(context.Background(), cursor)
			slices.Reverse(p.Records)
			return p, err
		}
		_, drifts, _ = report()
		require.Equal(t, 2, drifts, "what a list in no order lacks is not known")
	})
}

// TestAuditMayBeLeft: whoever has seen enough stops reading.
func TestAuditMayBeLeft(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		r, _ := newListed(t, 10, nil)
		for i := range 5 {
			r.crm.Edit(id(i), "ann", func(c *contact) { c.Name = "new" })
			r.crm.Remove(id(i+5), "ann")
			r.crm.Put(fmt.Sprint("x", i), "ann", contact{})
		}
		r.erp.Edit(r.erpID(t, id(2)), "bob", func(c *contact) { c.Name = "wrong" })
		total := len(r.audit(t))
		require.Equal(t, 16, total)
		for stop := 1; stop <= total; stop++ {
			n := 0
			for range r.link.Audit(t.Context()) {
				if n++; n == stop {
					break
				}
			}
			require.Equal(t, stop, n)
		}
	})
}

// TestAuditOfAReferenceAsksForNothing: the bill refers to a buyer that is not
// known; to observe it would ask for the buyer, to audit it must not.
func TestAuditOfAReferenceAsksForNothing(t *testing.T) {
	t.Parallel()
	f := newFamily(t)
	f.shopI.Edit("o1", "ann", func(b *bill) { b.Buyer = "c2" })
	before := f.waiting(t, "buyers/shop/read")
	var found []string
	for d, err := range f.bills.Audit(t.Context()) {
		require.NoError(t, err)
		found = append(found, d.Field+": "+d.What)
	}
	require.Equal(t, []string{"buyer: it refers to a record that is not known here", ": it was not created there yet"}, found)
	require.Equal(t, before, f.waiting(t, "buyers/shop/read"))
}
