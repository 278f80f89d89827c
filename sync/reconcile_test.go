package sync_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/require"
	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/ownership"
	"github.com/tectari/dovetail/store/memstore"
	datasync "github.com/tectari/dovetail/sync"
)

// newListed is a rig whose CRM has n records that the ERP has too, and tells of
// nothing from now on but by its list.
func newListed(t *testing.T, n int, config func(*datasync.Config[contact])) (*rig, *lister) {
	t.Helper()
	crm := &lister{}
	deafened := false
	r := newRig(t, func(c *datasync.Config[contact]) {
		crm.System = c.Systems[0].Endpoint.(*dovetailtest.System[contact])
		if deafened {
			c.Systems[0].Endpoint = crm
		}
		if config != nil {
			config(c)
		}
	})
	r.fill(t, n)
	deafened = true
	r.reopen(t)
	return r, crm
}

// waiting counts the messages in the queue.
func (r *rig) waiting(t *testing.T) (n int64) {
	t.Helper()
	lags, err := r.queue.Lag(t.Context())
	require.NoError(t, err)
	for _, l := range lags {
		n += l.Waiting
	}
	return n
}

// TestReconcileFindsWhatNothingElseTold: an edit, a deletion and a new record,
// whose webhooks and pages were lost. Only those three are read again.
func TestReconcileFindsWhatNothingElseTold(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		r, crm := newListed(t, 250, nil)
		r.crm.Edit(id(7), "ann", func(c *contact) { c.Email = "new@example.com" })
		r.crm.Remove(id(120), "ann")
		r.crm.Put("z", "ann", contact{Name: "new"})
		r.runFor(t, 5*time.Minute)
		require.Len(t, r.erp.All(), 250, "this test needs a feed that tells nothing")

		require.NoError(t, r.link.Reconcile(t.Context(), "crm"))
		r.runFor(t, 5*time.Minute)
		require.Equal(t, 2, crm.reads(), "the edit and the deletion are read, the new record was listed")
		emails := map[string]bool{}
		for _, c := range r.erp.All() {
			emails[c.Email] = true
		}
		require.Len(t, r.erp.All(), 250)
		require.True(t, emails["new@example.com"])
		require.False(t, emails["120@example.com"])

		writes := r.erp.Writes() + r.crm.Writes()
		require.NoError(t, r.link.Reconcile(t.Context(), "crm"))
		require.Zero(t, r.waiting(t), "a list of nothing new asks for nothing")
		r.runFor(t, 5*time.Minute)
		require.Equal(t, writes, r.erp.Writes()+r.crm.Writes())
		require.Equal(t, 2, crm.reads())
	})
}

// TestListThatMissesTooMuchIsNotBelieved: an empty list, also of a small
// business, and one that was filtered. Nothing is even read, since in the wrong
// account every read would say that the record is gone.
func TestListThatMissesTooMuchIsNotBelieved(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		records  int
		removed  int
		believed bool
	}{
		{"empty, and few records are known", 12, 12, false},
		{"empty, and many are known", 150, 150, false},
		{"filtered", 150, 40, false},
		{"a few are gone", 150, 15, true},
		{"the only one is gone", 1, 1, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inTime(t, func(t *testing.T) {
				r, crm := newListed(t, tt.records, nil)
				for i := range tt.removed {
					r.crm.Remove(id(i), "wrong account")
				}
				require.NoError(t, r.link.Reconcile(t.Context(), "crm"))
				r.runFor(t, 5*time.Minute)
				if tt.believed {
					require.Len(t, r.erp.All(), tt.records-tt.removed)
					require.Empty(t, r.person.heard(alert.Brake))
					return
				}
				require.Zero(t, crm.reads())
				require.Len(t, r.erp.All(), tt.records)
				require.Equal(t, []string{"firing crm missing"}, r.person.heard(alert.Brake))
				for i := range tt.removed { // the right account again
					r.crm.Put(id(i), "ann", contact{Name: "n", Email: fmt.Sprintf("%d@example.com", i), Phone: "1"})
				}
				r.reopen(t)
				require.NoError(t, r.link.Reconcile(t.Context(), "crm"))
				r.runFor(t, 5*time.Minute)
				require.Len(t, r.erp.All(), tt.records)
				require.Equal(t, []string{"firing crm missing", "resolved crm missing"}, r.person.heard(alert.Brake))
			})
		})
	}
}

// TestApprovedAbsenceIsStillOnlyAHint: who approves a short list lets the records
// be asked for. Those that are there after all stay; the others still meet the
// brake on deletions.
func TestApprovedAbsenceIsStillOnlyAHint(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		r, crm := newListed(t, 100, nil)
		for i := range 30 {
			r.crm.Remove(id(i), "script")
		}
		crm.list = func(string) (datasync.Page[contact], error) { // and twenty more that are there
			p, err := r.crm.List(context.Background(), id(49))
			p.More = false
			return p, err
		}
		require.NoError(t, r.link.Reconcile(t.Context(), "crm"))
		require.NoError(t, r.link.Approve(t.Context(), "crm/missing", "ana", "I know"))
		require.NoError(t, r.link.Reconcile(t.Context(), "crm"))
		r.runFor(t, 5*time.Minute)
		require.Equal(t, 50, crm.reads())
		require.GreaterOrEqual(t, len(r.erp.All()), 80)
		require.NoError(t, r.link.Approve(t.Context(), "erp/deletes", "ana", "I know"))
		r.runFor(t, 5*time.Minute)
		require.Len(t, r.erp.All(), 70)
	})
}

// TestListInParts: what a listing may do without anybody's fault. One deletion is
// to be found in each case but the last, in which it cannot be.
func TestListInParts(t *testing.T) {
	t.Parallel()
	show := func(ids ...string) (p datasync.Page[contact]) {
		for _, id := range ids {
			p.Records = append(p.Records, datasync.Observation[contact]{ID: id, Version: "1", Record: contact{Name: "n", Email: id[5:] + "@example.com", Phone: "1"}})
		}
		return p
	}
	all := []string{id(0), id(1), id(2), id(3), id(4)}
	gone := id(2)
	tests := []struct {
		name  string
		pages []datasync.Page[contact]
		found bool
	}{
		{"in two pages", []datasync.Page[contact]{show(all[:2]...), show(all[3:]...)}, true},
		{"the pages overlap", []datasync.Page[contact]{show(all[0], all[1]), show(all[1], all[3], all[4])}, true},
		{"a record twice on a page", []datasync.Page[contact]{show(all[0], all[1], all[1], all[3], all[3], all[4])}, true},
		{"an empty page between", []datasync.Page[contact]{show(all[0], all[1]), {}, show(all[3:]...)}, true},
		{"the end is missing", []datasync.Page[contact]{show(all[:2]...)}, true},
		{"not in order", []datasync.Page[contact]{show(all[3:]...), show(all[:2]...)}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inTime(t, func(t *testing.T) {
				r, crm := newListed(t, 5, nil)
				r.crm.Remove(gone, "ann")
				crm.list = func(cursor string) (datasync.Page[contact], error) {
					n := 0
					if cursor != "" {
						_, err := fmt.Sscan(cursor, &n)
						require.NoError(t, err)
					}
					p := tt.pages[n]
					p.Next, p.More = fmt.Sprint(n+1), n+1 < len(tt.pages)
					return p, nil
				}
				require.NoError(t, r.link.Reconcile(t.Context(), "crm"))
				r.runFor(t, 5*time.Minute)
				if tt.found {
					require.Len(t, r.erp.All(), 4)
					require.Empty(t, r.person.heard(alert.Contract))
					return
				}
				require.Len(t, r.erp.All(), 5)
				require.Equal(t, []string{"firing crm order"}, r.person.heard(alert.Contract))
				crm.list = nil
				require.NoError(t, r.link.Reconcile(t.Context(), "crm"))
				r.runFor(t, 5*time.Minute)
				require.Len(t, r.erp.All(), 4)
				require.Equal(t, []string{"firing crm order", "resolved crm order"}, r.person.heard(alert.Contract))
			})
		})
	}
}

// TestListThatBreaksOff: an error on the second page, and a cursor that stands
// still. What was listed is taken, nothing is missed, and the next run does the
// rest.
func TestListThatBreaksOff(t *testing.T) {
	t.Parallel()
	for _, stuck := range []bool{false, true} {
		t.Run(fmt.Sprint("the cursor stands still: ", stuck), func(t *testing.T) {
			t.Parallel()
			inTime(t, func(t *testing.T) {
				r, crm := newListed(t, 150, nil)
				r.crm.Edit(id(3), "ann", func(c *contact) { c.Email = "first@example.com" })
				r.crm.Edit(id(140), "ann", func(c *contact) { c.Email = "second@example.com" })
				r.crm.Remove(id(50), "ann")
				crm.list = func(cursor string) (datasync.Page[contact], error) {
					switch {
					case cursor == "":
						return r.crm.List(context.Background(), "")
					case stuck:
						return datasync.Page[contact]{Next: cursor, More: true}, nil
					}
					return datasync.Page[contact]{}, dovetail.NewError(dovetail.Unavailable, "list", "down")
				}
				require.Error(t, r.link.Reconcile(t.Context(), "crm"))
				r.reopen(t)
				r.runFor(t, 5*time.Minute)
				require.Len(t, r.erp.All(), 150, "what a list that broke off does not show is not missing")
				require.Equal(t, 1, withEmail(r, "first@example.com"))
				crm.list = nil
				require.NoError(t, r.link.Reconcile(t.Context(), "crm"))
				r.runFor(t, 5*time.Minute)
				require.Len(t, r.erp.All(), 149)
				require.Equal(t, 1, withEmail(r, "second@example.com"))
			})
		})
	}
}

func withEmail(r *rig, email string) (n int) {
	for _, c := range r.erp.All() {
		if c.Email == email {
			n++
		}
	}
	return n
}

// TestListedRecordThatCannotBeReadIsNotMissing: it stops alone, and is not asked
// for as if it were gone.
func TestListedRecordThatCannotBeReadIsNotMissing(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		r, crm := newListed(t, 50, nil)
		crm.list = func(cursor string) (datasync.Page[contact], error) {
			p, err := r.crm.List(context.Background(), cursor)
			for i := range p.Records {
				p.Records[i].Absent = []string{"no such field"}
			}
			return p, err
		}
		require.NoError(t, r.link.Reconcile(t.Context(), "crm"))
		require.EqualValues(t, 50, r.waiting(t), "each is read again alone")
		r.runFor(t, time.Minute)
		require.Empty(t, r.person.heard(alert.Brake))
		require.Equal(t, []string{"firing crm"}, r.person.heard(alert.Contract))
	})
}

// TestReconcileBelievesNoVersion: a version that does not move for every change
// hides none from a whole listing; a listing that leaves fields out is no change.
func TestReconcileBelievesNoVersion(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		r, crm := newListed(t, 20, nil)
		crm.list = func(cursor string) (datasync.Page[contact], error) {
			p, err := r.crm.List(context.Background(), cursor)
			for i := range p.Records {
				p.Records[i].Absent = []string{"phone", "vat"}
			}
			return p, err
		}
		require.NoError(t, r.link.Reconcile(t.Context(), "crm"))
		require.Zero(t, r.waiting(t), "a list that shows less is no reason to read every record")
		crm.list = func(cursor string) (datasync.Page[contact], error) {
			p, err := r.crm.List(context.Background(), cursor)
			p.Records[4].Record.Email = "moved@example.com"
			return p, err
		}
		require.NoError(t, r.link.Reconcile(t.Context(), "crm"))
		require.Equal(t, int64(1), r.waiting(t))
	})
}

// endless lists records that it makes as it goes, and looks whether an earlier
// page is still held by anybody.
type endless struct {
	readOnly
	pages int
	watch bool
	given []weak.Pointer[datasync.Observation[contact]]
	held  int
}

func (e *endless) Changes(context.Context, string) (datasync.Page[contact], error) {
	return datasync.Page[contact]{}, nil
}

func (e *endless) List(_ context.Context, cursor string) (datasync.Page[contact], error) {
	n := 0
	if cursor != "" {
		if _, err := fmt.Sscan(cursor, &n); err != nil {
			return datasync.Page[contact]{}, err
		}
	}
	if e.watch {
		e.look()
	}
	p := datasync.Page[contact]{Next: fmt.Sprint(n + 1), More: n+1 < e.pages}
	for i := range 100 {
		p.Records = append(p.Records, datasync.Observation[contact]{ID: id(n*100 + i), Version: "1", Record: contact{Name: fmt.Sprint(n, i)}})
	}
	e.given = append(e.given, weak.Make(&p.Records[0]))
	return p, nil
}

// look counts the pages that somebody still holds.
func (e *endless) look() {
	runtime.GC()
	alive := 0
	for _, p := range e.given {
		if p.Value() != nil {
			alive++
		}
	}
	e.held = max(e.held, alive)
}

// counting counts the reads that are asked for.
type counting struct {
	*memstore.Store
	reads int
}

func (c *counting) InsertMessages(ctx context.Context, tx outbox.Tx, entries []outbox.Entry) ([]int, error) {
	for _, e := range entries {
		if e.To == "contacts/crm/read" {
			c.reads++
		}
	}
	return c.Store.InsertMessages(ctx, tx, entries)
}

// listedBy is a link whose first system lists what list says.
func listedBy(t *testing.T, list *endless) (*datasync.Link, *counting) {
	t.Helper()
	c, store := complete(t), &counting{Store: memstore.New()}
	queue, err := outbox.New(outbox.Config{Store: store, Alerts: c.Alerts})
	require.NoError(t, err)
	c.Store, c.Queue = store, queue
	c.Systems[0].Endpoint = list
	c.Fields["phone"], c.Resolvers = ownership.By("crm"), nil
	c.Brakes.DeleteShare = 1
	link, err := datasync.New(c)
	require.NoError(t, err)
	return link, store
}

// TestReconcileHoldsNoMoreThanItAsksFor: of twelve thousand missing records, with
// no brake to stop it, one run asks for ten thousand.
func TestReconcileHoldsNoMoreThanItAsksFor(t *testing.T) {
	t.Parallel()
	list := &endless{pages: 120}
	link, store := listedBy(t, list)
	require.NoError(t, link.Reconcile(t.Context(), "crm"))
	require.Zero(t, store.reads)
	list.pages = 1
	require.NoError(t, link.Reconcile(t.Context(), "crm"))
	require.Equal(t, 10_000, store.reads)
}

// TestReconcileHoldsOnePage: however long the list, a run holds a page, and an
// audit does too.
func TestReconcileHoldsOnePage(t *testing.T) {
	t.Parallel()
	list := &endless{pages: 50, watch: true}
	link, _ := listedBy(t, list)
	require.NoError(t, link.Reconcile(t.Context(), "crm"))
	counts, err := link.Counts(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(5000), counts.Records)
	require.LessOrEqual(t, list.held, 1, "pages that were taken are still held")
	list.held, list.given = 0, nil
	for d, err := range link.Audit(t.Context()) {
		require.NoError(t, err)
		require.Empty(t, d.Field)
	}
	require.LessOrEqual(t, list.held, 1, "pages that were audited are still held")
}
