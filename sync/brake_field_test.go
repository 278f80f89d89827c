package sync_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/dovetailtest"
	datasync "github.com/tectari/dovetail/sync"
)

// slim gives out its changes in pages of a few records.
type slim struct {
	*dovetailtest.System[contact]
	size int
}

func (s slim) Changes(ctx context.Context, cursor string) (datasync.Page[contact], error) {
	p, err := s.System.Changes(ctx, cursor)
	if err != nil || len(p.Records) <= s.size {
		return p, err
	}
	// A cursor of the system counts changes, one per record here.
	p.Next, p.More = next(cursor, s.size), true
	p.Records = p.Records[:s.size]
	return p, nil
}

// TestFieldThatIsEmptyEverywhereIsNotTaken: a permission was revoked, so every
// record shows the field as empty. Whichever way that comes in, the other system
// loses no more than the brake allows, and one person is told once.
func TestFieldThatIsEmptyEverywhereIsNotTaken(t *testing.T) {
	t.Parallel()
	hints := func(t *testing.T, r *rig) {
		for i := range 100 {
			require.NoError(t, r.link.Hint(t.Context(), "crm", id(i), ""))
		}
	}
	list := func(t *testing.T, r *rig) {
		require.Error(t, r.link.Reconcile(t.Context(), "crm"))
	}
	nothing := func(*testing.T, *rig) {}
	tests := []struct {
		name   string
		crm    func(*dovetailtest.System[contact]) datasync.Endpoint[contact]
		tell   func(*testing.T, *rig)
		allows int
	}{
		{"a page of changes", func(s *dovetailtest.System[contact]) datasync.Endpoint[contact] { return s }, nothing, 0},
		{"small pages of changes", func(s *dovetailtest.System[contact]) datasync.Endpoint[contact] { return slim{s, 7} }, nothing, 20},
		{"a listing", func(s *dovetailtest.System[contact]) datasync.Endpoint[contact] { return deaf{s} }, list, 0},
		{"webhooks, one by one", func(s *dovetailtest.System[contact]) datasync.Endpoint[contact] { return deaf{s} }, hints, 20},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inTime(t, func(t *testing.T) {
				spoiled := false
				r := newRig(t, func(c *datasync.Config[contact]) {
					if spoiled {
						c.Systems[0].Endpoint = tt.crm(c.Systems[0].Endpoint.(*dovetailtest.System[contact]))
					}
				})
				r.fill(t, 100)
				spoiled = true
				for i := range 100 {
					r.crm.Edit(id(i), "api", func(c *contact) { c.Email = "" })
				}
				r.reopen(t)
				tt.tell(t, r)
				r.runFor(t, 10*time.Minute)
				r.reopen(t) // a restart is no new chance
				tt.tell(t, r)
				r.runFor(t, 10*time.Minute)
				require.GreaterOrEqual(t, filled(r.erp, email), 100-tt.allows)
				require.Equal(t, []string{"firing crm nulls email"}, r.person.heard(alert.Brake))

				// The permission is given back: nothing was lost, and the alert ends.
				for i := range 100 {
					r.crm.Edit(id(i), "api", func(c *contact) { c.Email = "back@example.com" })
					require.NoError(t, r.link.Hint(t.Context(), "crm", id(i), ""))
				}
				if tt.name == "a listing" { // only a listing can tell that it would go through
					require.NoError(t, r.link.Reconcile(t.Context(), "crm"))
				}
				r.runFor(t, 10*time.Minute)
				require.Equal(t, 100, filled(r.erp, email))
				require.Equal(t, []string{"firing crm nulls email", "resolved crm nulls email"}, r.person.heard(alert.Brake))
			})
		})
	}
}

// TestPageThatIsMostlyEmptiedIsNotTaken: fewer records than a day allows, but most
// of what the page tells. Nothing of it is taken; the same number among other
// edits is.
func TestPageThatIsMostlyEmptiedIsNotTaken(t *testing.T) {
	t.Parallel()
	for _, others := range []int{10, 50} {
		t.Run(fmt.Sprint(others, " other edits"), func(t *testing.T) {
			t.Parallel()
			inTime(t, func(t *testing.T) {
				r := newRig(t, func(c *datasync.Config[contact]) { c.Brakes.NullShare = 0.5 })
				r.fill(t, 100)
				for i := range 40 + others {
					r.crm.Edit(id(i), "api", func(c *contact) {
						c.Name = "new"
						if i < 40 {
							c.Email = ""
						}
					})
				}
				r.runFor(t, 5*time.Minute)
				if others == 10 {
					require.Equal(t, 100, filled(r.erp, email))
					require.Equal(t, []string{"firing crm nulls email"}, r.person.heard(alert.Brake))
					return
				}
				require.Equal(t, 60, filled(r.erp, email))
				require.Empty(t, r.person.heard(alert.Brake))
			})
		})
	}
}

// TestFieldThatFewRecordsHaveIsWatched: all thirty phones of a hundred records
// are gone. Of the page that is less than a third, of the phones it is all.
func TestFieldThatFewRecordsHaveIsWatched(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.fill(t, 100)
		for i := range 70 {
			r.crm.Edit(id(i), "ann", func(c *contact) { c.Phone = "" })
			if i%14 == 13 { // what people empty over days is emptied
				r.runFor(t, 2*time.Minute)
				time.Sleep(25 * time.Hour)
			}
		}
		require.Equal(t, 30, filled(r.erp, phone))
		require.Empty(t, r.person.heard(alert.Brake))
		for i := range 100 {
			r.crm.Edit(id(i), "api", func(c *contact) { c.Phone = "" })
		}
		require.Error(t, r.link.Reconcile(t.Context(), "crm"))
		r.runFor(t, 5*time.Minute)
		require.Equal(t, 30, filled(r.erp, phone))
		require.Equal(t, []string{"firing crm nulls phone"}, r.person.heard(alert.Brake))
	})
}

// TestFieldThatIsEmptiedOnPurposeIsApproved: the approval is for that field of
// that system, and for all of its records.
func TestFieldThatIsEmptiedOnPurposeIsApproved(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		r := newRig(t, func(c *datasync.Config[contact]) {
			c.Systems[0].Endpoint = slim{c.Systems[0].Endpoint.(*dovetailtest.System[contact]), 30}
		})
		r.fill(t, 100)
		for i := range 100 {
			r.crm.Edit(id(i), "ann", func(c *contact) { c.Phone = "" })
		}
		r.runFor(t, 10*time.Minute)
		require.Equal(t, 100, filled(r.erp, phone))
		require.NoError(t, r.link.Approve(t.Context(), "crm/nulls/phone", "ana", "we no longer call"))
		r.runFor(t, 10*time.Minute)
		require.Zero(t, filled(r.erp, phone))
		for i := range 100 {
			r.crm.Edit(id(i), "api", func(c *contact) { c.Email = "" })
		}
		r.runFor(t, 10*time.Minute)
		require.Equal(t, 100, filled(r.erp, email), "the approval was given for another field")
		require.Equal(t, []string{"firing crm nulls phone", "resolved crm nulls phone", "firing crm nulls email"}, r.person.heard(alert.Brake))
	})
}

// TestRefusedPermissionOfAReaderIsNotFought: a system that no longer shows us a
// field of another owner is not written over and over to put it right.
func TestRefusedPermissionOfAReaderIsNotFought(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.fill(t, 100)
		before := r.erp.Writes()
		for id := range r.erp.All() {
			r.erp.Edit(id, "api", func(c *contact) { c.Email = "" })
		}
		r.runFor(t, 10*time.Minute)
		require.Equal(t, before, r.erp.Writes())
		require.Equal(t, []string{"firing erp nulls email"}, r.person.heard(alert.Brake))
	})
}

// TestFieldThatMustNotChangeEverywhere: a format changed at the source. The field
// that the plan names is held; one that may change everywhere is not.
func TestFieldThatMustNotChangeEverywhere(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		r := newRig(t, func(c *datasync.Config[contact]) { c.Brakes.Changes = map[string]float64{"email": 0.05} })
		r.fill(t, 100)
		for i := range 100 {
			r.crm.Edit(id(i), "nightly", func(c *contact) { c.Name = "new" })
		}
		r.runFor(t, 10*time.Minute)
		require.Empty(t, r.person.heard(alert.Brake))
		for i := range 100 {
			r.crm.Edit(id(i), "export", func(c *contact) { c.Email = strings.ToUpper(c.Email) })
		}
		r.runFor(t, 10*time.Minute)
		upper := 0
		for _, c := range r.erp.All() {
			require.Equal(t, "new", c.Name)
			if strings.HasSuffix(c.Email, "COM") {
				upper++
			}
		}
		require.LessOrEqual(t, upper, 20)
		require.Equal(t, []string{"firing crm changes email"}, r.person.heard(alert.Brake))
		require.NoError(t, r.link.Approve(t.Context(), "crm/changes/email", "ana", "the new export writes them so"))
		r.runFor(t, 10*time.Minute)
		for _, c := range r.erp.All() {
			require.True(t, strings.HasSuffix(c.Email, "COM"))
		}
	})
}

// TestOrdinaryEditsPassEveryBrake: many edits of many fields, some emptied.
func TestOrdinaryEditsPassEveryBrake(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.fill(t, 100)
		for i := range 100 {
			r.crm.Edit(id(i), "ann", func(c *contact) { c.Email, c.Name = "new@example.com", "" })
			if i < 15 {
				r.crm.Edit(id(i), "ann", func(c *contact) { c.Phone = "" })
			}
			if i%15 == 14 {
				r.runFor(t, 2*time.Minute)
				time.Sleep(25 * time.Hour)
			}
		}
		r.runFor(t, 5*time.Minute)
		require.Equal(t, 85, filled(r.erp, phone))
		require.Empty(t, r.person.heard(alert.Brake))
	})
}
