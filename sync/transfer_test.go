package sync_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tectari/dovetail/ownership"
	"github.com/tectari/dovetail/store/memstore"
	datasync "github.com/tectari/dovetail/sync"
)

// newDisagreeing is a rig of n records in which the ERP shows another email than
// the CRM, which owns it, in every third, because nothing has been reverted yet;
// and rules that hand the email to the ERP from the next start on.
func newDisagreeing(t *testing.T, n int) *rig {
	t.Helper()
	handed := false
	r := newRig(t, func(c *datasync.Config[contact]) {
		if handed {
			c.Fields["email"] = ownership.By("erp")
		}
	})
	r.fill(t, n)
	r.trespass(t)
	handed = true
	r.reopen(t)
	return r
}

// trespass changes every third email in the ERP and one name in the CRM, and
// reads that without writing.
func (r *rig) trespass(t *testing.T) {
	t.Helper()
	r.crm.Edit(id(0), "ann", func(c *contact) { c.Name = "new" })
	r.read(t, "crm", id(0))
	for id := range r.erp.All() {
		if id[len(id)-1]%3 == 0 {
			r.erp.Edit(id, "bob", func(c *contact) { c.Email = "erp-" + c.Email })
			require.NoError(t, r.link.Handle(t.Context(), "contacts/erp/read", id))
		}
	}
}

// agreement counts the emails that are the same in both systems, and those that the
// ERP has changed.
func agreement(r *rig) (same, changed int) {
	crm := map[string]bool{}
	for _, c := range r.crm.All() {
		crm[c.Email] = true
	}
	for _, c := range r.erp.All() {
		if crm[c.Email] {
			same++
		}
		if len(c.Email) > 4 && c.Email[:4] == "erp-" {
			changed++
		}
	}
	return same, changed
}

// TestChangedRulesDoNotStart: by no door, and what waits in the queue goes on
// waiting, since the queue may run without the link.
func TestChangedRulesDoNotStart(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		r := newDisagreeing(t, 9)
		require.Positive(t, r.waiting(t))
		writes := r.erp.Writes() + r.crm.Writes()
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			require.ErrorIs(t, datasync.Run(ctx, r.link), datasync.ErrRulesChanged)
			require.ErrorIs(t, r.link.Run(ctx), datasync.ErrRulesChanged)
			require.ErrorIs(t, r.link.Poll(ctx, "crm"), datasync.ErrRulesChanged)
			require.ErrorIs(t, r.link.Reconcile(ctx, "crm"), datasync.ErrRulesChanged)
			_, err := r.link.Sweep(ctx)
			require.ErrorIs(t, err, datasync.ErrRulesChanged)
			r.reopen(t)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		require.NoError(t, r.queue.Run(ctx))
		require.Equal(t, writes, r.erp.Writes()+r.crm.Writes(), "the queue wrote under rules that nobody agreed to")
	})
}

// TestTransferCountsThenMoves: the preview writes nothing and says what applying
// does; applied, the new owner's values are right everywhere.
func TestTransferCountsThenMoves(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		r := newDisagreeing(t, 300)
		same, changed := agreement(r)
		require.Positive(t, changed)
		require.Equal(t, 300-changed, same)
		waiting := r.waiting(t)

		for range 2 {
			rep, err := r.link.Transfer(t.Context(), false, "", "")
			require.NoError(t, err)
			require.Equal(t, datasync.TransferReport{Differs: map[string]int{"email": changed}, Records: 300}, rep)
			require.Equal(t, waiting, r.waiting(t))
			require.ErrorIs(t, r.link.Poll(t.Context(), "crm"), datasync.ErrRulesChanged, "a preview changes nothing")
		}
		_, err := r.link.Transfer(t.Context(), true, "ana", "")
		require.Error(t, err, "nobody may move rules without saying why")

		rep, err := r.link.Transfer(t.Context(), true, "ana", "accounting keeps the addresses")
		require.NoError(t, err)
		require.Equal(t, datasync.TransferReport{Differs: map[string]int{"email": changed}, Records: 300, Applied: true}, rep)
		r.reopen(t)
		r.runFor(t, 5*time.Minute)
		same, now := agreement(r)
		require.Equal(t, 300, same)
		require.Equal(t, changed, now, "the new owner was overwritten")

		for id, c := range r.erp.All() {
			if c.Email[:4] == "erp-" {
				key, _, err := r.link.Key(t.Context(), "erp", id)
				require.NoError(t, err)
				x, err := r.link.Explain(t.Context(), key, "email")
				require.NoError(t, err)
				require.Equal(t, "transfer", x.History[1].Rule)
				require.Equal(t, "accounting keeps the addresses (ana)", x.History[1].Why)
				break
			}
		}
		rep, err = r.link.Transfer(t.Context(), true, "ana", "again")
		require.NoError(t, err)
		require.Empty(t, rep.Differs)
	})
}

// fragile is a store that fails after so many transactions, or runs each twice as
// a database does that asks for a retry.
type fragile struct {
	*memstore.Store
	left  atomic.Int64
	twice bool
}

var errFragile = errors.New("the process is gone")

func (f *fragile) UpdateRecords(ctx context.Context, fn func(tx datasync.Tx) error) error {
	if f.left.Add(-1) < 0 {
		return errFragile
	}
	if f.twice {
		rollback := errors.New("serialize")
		err := f.Store.UpdateRecords(ctx, func(tx datasync.Tx) error { return errors.Join(fn(tx), rollback) })
		if !errors.Is(err, rollback) {
			return err
		}
	}
	return f.Store.UpdateRecords(ctx, fn)
}

// TestTransferThatIsCutShortRunsUnderNoRules: half of the records are the new
// owner's. Under the old rules nobody would ever put them right, so the link does
// not run there either, until the transfer is done, or done back.
func TestTransferThatIsCutShortRunsUnderNoRules(t *testing.T) {
	t.Parallel()
	for cut := int64(1); cut < 12; cut += 2 {
		inTime(t, func(t *testing.T) {
			handed := false
			r := newRig(t, func(c *datasync.Config[contact]) {
				if handed {
					c.Fields["email"] = ownership.By("erp")
				}
			})
			r.fill(t, 9)
			r.trespass(t)
			_, changed := agreement(r)
			store := &fragile{Store: r.store}
			store.left.Store(1 << 40)
			r.over, handed = store, true
			r.reopen(t)
			store.left.Store(cut)
			_, err := r.link.Transfer(t.Context(), true, "ana", "accounting keeps the addresses")
			store.left.Store(1 << 40)
			if cut < 11 {
				require.ErrorIs(t, err, errFragile)
				for _, handed = range []bool{true, false} {
					r.reopen(t)
					require.ErrorIs(t, r.link.Poll(t.Context(), "crm"), datasync.ErrRulesChanged)
				}
				handed = cut%4 == 1 // there, or back
				r.reopen(t)
				_, err = r.link.Transfer(t.Context(), true, "ana", "again")
			}
			require.NoError(t, err)
			r.runFor(t, 5*time.Minute)
			same, now := agreement(r)
			require.Equal(t, 9, same)
			if handed {
				require.Equal(t, changed, now)
			} else {
				require.Zero(t, now)
			}
		})
	}
}

// TestTransferCountsOnceWhatTheDatabaseRetries: its figures are read by a person
// who decides.
func TestTransferCountsOnceWhatTheDatabaseRetries(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		r := newDisagreeing(t, 9)
		_, changed := agreement(r)
		store := &fragile{Store: r.store, twice: true}
		store.left.Store(1 << 40)
		r.over = store
		r.reopen(t)
		rep, err := r.link.Transfer(t.Context(), true, "ana", "why")
		require.NoError(t, err)
		require.Equal(t, map[string]int{"email": changed}, rep.Differs)
	})
}

// TestTransferStopsWhoRunsUnderTheOldRules: a process that was forgotten ends with
// the reason, and writes nothing under them.
func TestTransferStopsWhoRunsUnderTheOldRules(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		handed := false
		r := newRig(t, func(c *datasync.Config[contact]) {
			if handed {
				c.Fields["email"] = ownership.By("erp")
			}
		})
		r.fill(t, 9)
		old, ended := r.link, make(chan error, 1)
		go func() { ended <- datasync.Run(t.Context(), old) }()
		time.Sleep(90 * time.Second)
		handed = true
		r.reopen(t)
		_, err := r.link.Transfer(t.Context(), true, "ana", "why")
		require.NoError(t, err)
		time.Sleep(time.Minute)
		select {
		case err := <-ended:
			require.ErrorIs(t, err, datasync.ErrRulesChanged)
		default:
			require.Fail(t, "it still runs")
		}
	})
}

// TestTransferFreesWhatTheOldRulesParked: two systems shared the phone and
// disagreed; now one of them owns it, and that is the decision.
func TestTransferFreesWhatTheOldRulesParked(t *testing.T) {
	t.Parallel()
	for _, owner := range []string{"crm", "erp"} {
		t.Run(owner, func(t *testing.T) {
			t.Parallel()
			inTime(t, func(t *testing.T) {
				handed := false
				r := newRig(t, func(c *datasync.Config[contact]) {
					if handed {
						c.Fields["phone"], c.Resolvers = ownership.By(c.Systems[0].Name), nil
						if owner == "erp" {
							c.Fields["phone"] = ownership.By("erp")
						}
					}
				})
				r.fill(t, 1)
				r.crm.Edit(id(0), "ann", func(c *contact) { c.Phone = "crm" })
				for id := range r.erp.All() {
					r.erp.Edit(id, "bob", func(c *contact) { c.Phone = "erp" })
				}
				r.runFor(t, 3*time.Minute)
				parked, err := r.link.Parked(t.Context(), "", 10)
				require.NoError(t, err)
				require.Len(t, parked, 1)

				handed = true
				r.reopen(t)
				_, err = r.link.Transfer(t.Context(), true, "ana", "they call")
				require.NoError(t, err)
				r.runFor(t, 3*time.Minute)
				parked, err = r.link.Parked(t.Context(), "", 10)
				require.NoError(t, err)
				require.Empty(t, parked)
				require.Equal(t, owner, r.crm.All()[id(0)].Phone)
				for _, c := range r.erp.All() {
					require.Equal(t, owner, c.Phone)
				}
			})
		})
	}
}

// TestTransferBringsNewReadersUpToDate: no value moves, but a system that the old
// rules left out now lags, and nothing else would ever tell it.
func TestTransferBringsNewReadersUpToDate(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T) {
		all := false
		r := newRig(t, func(c *datasync.Config[contact]) {
			if !all {
				c.Systems[1].Fields = []string{"name", "phone", "vat"}
				c.Fields["email"] = ownership.By("crm").OnTrespass(ownership.Tolerate)
			}
		})
		r.fill(t, 5)
		require.Zero(t, filled(r.erp, email))
		all = true
		r.reopen(t)
		rep, err := r.link.Transfer(t.Context(), true, "ana", "the ERP sends mail now")
		require.NoError(t, err)
		require.Empty(t, rep.Differs)
		r.runFor(t, 5*time.Minute)
		require.Equal(t, 5, filled(r.erp, email))
	})
}
