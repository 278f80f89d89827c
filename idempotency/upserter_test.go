package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/idempotency"
	"github.com/tectari/dovetail/internal/oncetest"
	"github.com/tectari/dovetail/store/memstore"
)

// The naive ways of writing once, in the same world: each makes duplicates where
// its API has nothing to prevent them.
func TestNaiveStrategiesMakeDuplicates(t *testing.T) {
	t.Parallel()
	v := invoice{Number: "R-1"}
	synctest.Test(t, func(t *testing.T) {
		fresh := newWorld('B')
		fresh.Target.Fail(dovetailtest.TargetLosesReply)
		for n := range 2 {
			_, _ = fresh.Target.CreateWith(t.Context(), fresh.Key, fmt.Sprint(n), v) // the lost reply is the point
		}
		require.Len(t, fresh.Target.Of(fresh.Key), 2, "a new key for each attempt")

		search := newWorld('C')
		search.Target.Fail(dovetailtest.TargetLosesReply)
		for range 2 {
			found, err := search.Target.Find(t.Context(), search.Key, v)
			require.NoError(t, err)
			if len(found) == 0 {
				_, _ = search.Target.Create(t.Context(), search.Key, v) // as above
			}
			time.Sleep(time.Second)
		}
		require.Len(t, search.Target.Of(search.Key), 2, "find, then create")

		stable := newWorld('B')
		stable.Target.Fail(dovetailtest.TargetLosesReply)
		for range 2 {
			_, _ = stable.Target.Create(t.Context(), stable.Key, v) // as above
			time.Sleep(keyWindow + time.Minute)                     // an outage outlives the key
		}
		require.Len(t, stable.Target.Of(stable.Key), 2, "one key, again after its window")
	})
}

// Any number of workers, any faults, any deaths and pauses: one record, none lost.
func TestOneRecordWhateverHappens(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			w := newWorld(rapid.SampledFrom([]byte("ABbCD")).Draw(t, "class"))
			var faults []dovetailtest.TargetFault
			for range rapid.IntRange(0, 6).Draw(t, "faults") {
				faults = append(faults, dovetailtest.TargetFault(rapid.IntRange(0, int(dovetailtest.TargetAnswers429)).Draw(t, "fault")))
			}
			w.Target.Fail(faults...)
			done := make(chan struct{})
			workers := rapid.IntRange(1, 3).Draw(t, "workers")
			for n := range workers {
				p := &process{}
				point := rapid.SampledFrom(append([]string{""}, oncetest.Points...)).Draw(t, "point")
				pauses := rapid.Bool().Draw(t, "pauses")
				switch {
				case pauses && point != "before call":
					p.PauseAt, p.Pause = point, time.Duration(rapid.IntRange(1, 7200).Draw(t, "pause"))*time.Second
				case !pauses:
					p.DieAt = point
				}
				start := time.Duration(rapid.IntRange(0, 120).Draw(t, "start")) * time.Second
				v := invoice{Number: "R-1", Cents: int64(n)}
				go func() {
					defer func() { done <- struct{}{} }()
					time.Sleep(start)
					w.Persist(t, p, v)
				}()
			}
			for range workers {
				<-done
			}
			for parked := w.InDoubt(t); parked; {
				if w.Class != 'D' && w.Class != 'B' {
					t.Fatalf("class %c waits for a person", w.Class)
				}
				w.Answer(t)
				_, parked = w.Persist(t, &process{}, invoice{Number: "R-1"})
			}
			w.Settled(t)
		})
	})
}

// records is a target of records with an upserter, to follow versions.
func records(t *testing.T, class byte) (*oncetest.World, *idempotency.Upserter[invoice]) {
	w := newWorld(class)
	return w, w.Upserter(t, &process{})
}

func TestUpsertOutcomes(t *testing.T) {
	t.Parallel()
	matrix.Each(t, "upsert", func(t *testing.T, w *oncetest.World) {
		u := w.Upserter(t, &process{})
		a, b := invoice{Number: "R-1", Cents: 1}, invoice{Number: "R-1", Cents: 2}
		for _, step := range []struct {
			seq  int64
			v    invoice
			want idempotency.Outcome
		}{
			{11, b, idempotency.Created}, {11, b, idempotency.Unchanged}, {13, b, idempotency.Unchanged}, {12, a, idempotency.Stale},
			{13, a, idempotency.Updated}, {14, b, idempotency.Updated}, {0, a, idempotency.Updated}, {13, b, idempotency.Stale},
		} {
			res, err := u.Upsert(t.Context(), w.Key, step.seq, step.v)
			require.NoError(t, err)
			require.Equal(t, step.want, res.Outcome, "version %d", step.seq)
			require.Equal(t, "rec-1", res.Ref.ID)
		}
		require.Equal(t, a, w.Value(t))
		require.Equal(t, 4, w.Target.Calls(), "what is unchanged or stale costs no call")
	})
}

func TestCreateIsOnceInLife(t *testing.T) {
	t.Parallel()
	matrix.Each(t, "create", func(t *testing.T, w *oncetest.World) {
		u := w.Upserter(t, &process{})
		first, err := u.Create(t.Context(), w.Key, invoice{Cents: 1})
		require.NoError(t, err)
		require.Equal(t, idempotency.Created, first.Outcome)
		again, err := u.Create(t.Context(), w.Key, invoice{Cents: 2})
		require.NoError(t, err)
		require.Equal(t, idempotency.Result{Ref: first.Ref, Outcome: idempotency.Replayed}, again)
		require.Equal(t, invoice{Cents: 1}, w.Value(t))
		_, err = u.Upsert(t.Context(), w.Key, 0, invoice{Cents: 2})
		require.ErrorIs(t, err, idempotency.ErrKeyReused)
	})
}

// A newer payload never goes out under a key that an older one may have used.
func TestKeyedDoubtSendsTheStoredBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, u := records(t, 'B')
		w.Target.Fail(dovetailtest.TargetLosesRequest)
		_, err := u.Create(t.Context(), w.Key, invoice{Cents: 1})
		require.ErrorIs(t, err, idempotency.ErrInDoubt)
		require.Equal(t, dovetail.Transient, dovetail.Classify(err))
		res, err := u.Create(t.Context(), w.Key, invoice{Cents: 2})
		require.NoError(t, err)
		require.Equal(t, idempotency.Replayed, res.Outcome, "not Created: the record does not hold this payload")
		require.Equal(t, invoice{Cents: 1}, w.Value(t))
	})
}

// Upsert goes on to its own payload after it has settled the older one.
func TestUpsertWritesItsOwnPayloadAfterADoubt(t *testing.T) {
	t.Parallel()
	matrix.Each(t, "reply lost", func(t *testing.T, w *oncetest.World) {
		if w.Class == 'D' {
			return // waits for a person
		}
		u := w.Upserter(t, &process{})
		w.Target.Fail(dovetailtest.TargetLosesReply)
		_, err := u.Upsert(t.Context(), w.Key, 1, invoice{Cents: 1})
		require.ErrorIs(t, err, idempotency.ErrInDoubt)
		time.Sleep(2 * time.Minute)
		res, err := u.Upsert(t.Context(), w.Key, 2, invoice{Cents: 2})
		require.NoError(t, err)
		require.Equal(t, idempotency.Updated, res.Outcome)
		require.Equal(t, invoice{Cents: 2}, w.Value(t))
	})
}

// An older content that still travels does not arrive after a newer one.
func TestLateUpdateDoesNotOverwriteANewerOne(t *testing.T) {
	t.Parallel()
	for _, class := range []byte("AC") {
		synctest.Test(t, func(t *testing.T) {
			w, u := records(t, class)
			_, err := u.Upsert(t.Context(), w.Key, 1, invoice{Cents: 1})
			require.NoError(t, err)
			w.Target.Fail(dovetailtest.TargetActsLate)
			_, err = u.Upsert(t.Context(), w.Key, 2, invoice{Cents: 2})
			require.ErrorIs(t, err, idempotency.ErrInDoubt)
			_, err = u.Upsert(t.Context(), w.Key, 3, invoice{Cents: 3})
			wait, ok := idempotency.WaitOf(err)
			require.True(t, ok, "%v", err)
			time.Sleep(wait)
			res, err := u.Upsert(t.Context(), w.Key, 3, invoice{Cents: 3})
			require.NoError(t, err)
			require.Equal(t, idempotency.Updated, res.Outcome)
			time.Sleep(time.Hour)
			require.Equal(t, invoice{Cents: 3}, w.Value(t))
		})
	}
}

// A long call is given up on late: the wait counts from then, not from the mark.
func TestAbsenceCountsFromWhenTheRequestWasGivenUpOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var finds, creates atomic.Int64
		u, err := idempotency.NewUpserter(idempotency.Config[invoice]{
			Store: memstore.New(), Lease: lease, RequestLife: requestLife, Observer: quiet{},
			Target: idempotency.Target[invoice]{
				Create: func(context.Context, idempotency.Key, invoice) (idempotency.Ref, error) {
					if creates.Add(1) == 1 {
						time.Sleep(10 * time.Minute) // far beyond the lease, which is renewed
						return idempotency.Ref{}, errors.New("timeout")
					}
					return idempotency.Ref{ID: "1"}, nil
				},
				Find: func(context.Context, idempotency.Key, invoice) ([]idempotency.Ref, error) {
					finds.Add(1)
					return nil, nil
				},
				FindLag: findLag,
			},
		})
		require.NoError(t, err)
		k := idempotency.Key{Scope: "s", ID: "1"}
		_, err = u.Create(t.Context(), k, invoice{})
		require.ErrorIs(t, err, idempotency.ErrInDoubt)
		_, err = u.Create(t.Context(), k, invoice{})
		wait, ok := idempotency.WaitOf(err)
		require.True(t, ok, "%v", err)
		require.Equal(t, requestLife+findLag, wait)
		require.Equal(t, int64(1), finds.Load(), "a hit would have counted at once")
		time.Sleep(wait)
		res, err := u.Create(t.Context(), k, invoice{})
		require.NoError(t, err)
		require.Equal(t, idempotency.Created, res.Outcome)
	})
}

// The search is asked for what was sent, not for what is to be sent now.
func TestLookUpIsForTheStoredPayload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		fail := true
		u, err := idempotency.NewUpserter(idempotency.Config[invoice]{Store: memstore.New(), Observer: quiet{}, Target: idempotency.Target[invoice]{
			Create: func(context.Context, idempotency.Key, invoice) (idempotency.Ref, error) {
				if fail {
					return idempotency.Ref{}, errors.New("reset")
				}
				return idempotency.Ref{ID: "2"}, nil
			},
			Find: func(_ context.Context, _ idempotency.Key, v invoice) ([]idempotency.Ref, error) {
				asked = append(asked, v.Number)
				return []idempotency.Ref{{ID: "1"}}, nil
			},
		}})
		require.NoError(t, err)
		k := idempotency.Key{Scope: "s", ID: "1"}
		_, err = u.Create(t.Context(), k, invoice{Number: "old"})
		require.Error(t, err)
		fail = false
		res, err := u.Create(t.Context(), k, invoice{Number: "new"})
		require.NoError(t, err)
		require.Equal(t, idempotency.Result{Ref: idempotency.Ref{ID: "1"}, Outcome: idempotency.Adopted}, res)
		require.Equal(t, []string{"old"}, asked)
	})
}

// Proof about the second request says nothing about the first.
func TestRefusedRepetitionIsNoProof(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, u := records(t, 'B')
		w.Target.Fail(dovetailtest.TargetLosesReply, dovetailtest.TargetAnswers400)
		_, err := u.Create(t.Context(), w.Key, invoice{})
		require.ErrorIs(t, err, idempotency.ErrInDoubt)
		_, err = u.Create(t.Context(), w.Key, invoice{})
		require.Equal(t, dovetail.InDoubt, dovetail.Classify(err), "%v", err)
		require.True(t, w.InDoubt(t))
		require.Len(t, w.Target.Of(w.Key), 1)
	})
}

func TestProof(t *testing.T) {
	t.Parallel()
	plain := errors.New("x")
	as := func(c dovetail.Class, inner error) error { return &dovetail.Error{Fault: c, Err: inner} }
	for name, c := range map[string]struct {
		err  error
		free bool
	}{
		"invalid": {as(dovetail.Invalid, plain), true}, "auth": {as(dovetail.Auth, plain), true}, "rate limited": {as(dovetail.RateLimited, plain), true},
		"not applied": {idempotency.NotApplied(as(dovetail.Unavailable, plain)), true}, "wrapped": {fmt.Errorf("w: %w", idempotency.NotApplied(plain)), true},
		"unavailable": {as(dovetail.Unavailable, plain), false}, "transient": {as(dovetail.Transient, plain), false}, "unknown": {plain, false},
		"timeout": {context.DeadlineExceeded, false}, "canceled": {context.Canceled, false}, "conflict": {as(dovetail.Conflict, plain), false},
		"in doubt": {as(dovetail.InDoubt, plain), false}, "doubt about proof": {as(dovetail.InDoubt, idempotency.NotApplied(plain)), false},
		"doubt about invalid": {as(dovetail.InDoubt, as(dovetail.Invalid, plain)), false}, "no ID": {nil, false},
	} {
		store := memstore.New()
		u, err := idempotency.NewUpserter(idempotency.Config[int]{Store: store, OnDoubt: idempotency.Park, Observer: quiet{}, Target: idempotency.Target[int]{
			Create: func(context.Context, idempotency.Key, int) (idempotency.Ref, error) { return idempotency.Ref{}, c.err },
		}})
		require.NoError(t, err)
		k := idempotency.Key{Scope: "s", ID: "1"}
		_, err = u.Create(t.Context(), k, 1)
		require.Error(t, err, name)
		e, _, err2 := store.Get(t.Context(), k)
		require.NoError(t, err2)
		require.Equal(t, c.free, e.State == idempotency.Claimed, "%s: %v", name, e.State)
		require.Equal(t, !c.free, dovetail.Classify(err) == dovetail.InDoubt, "%s: %v", name, err)
	}
}

func TestPanicLeavesADoubt(t *testing.T) {
	t.Parallel()
	store, k := memstore.New(), idempotency.Key{Scope: "s", ID: "1"}
	u, err := idempotency.NewUpserter(idempotency.Config[int]{Store: store, OnDoubt: idempotency.Park, Target: idempotency.Target[int]{
		Create: func(context.Context, idempotency.Key, int) (idempotency.Ref, error) { panic("no") },
	}})
	require.NoError(t, err)
	require.Panics(t, func() { _, _ = u.Create(context.Background(), k, 1) })
	e, _, err := store.Get(t.Context(), k)
	require.NoError(t, err)
	require.Equal(t, idempotency.Doubt, e.State)
}

// If the ledger cannot be written, nothing is sent.
func TestLedgerDownSendsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, point := range []string{"before claim", "after claim", "before mark", "after mark"} {
			w := newWorld('A')
			_, err := w.Upserter(t, &process{DieAt: point}).Create(t.Context(), w.Key, invoice{})
			require.Equal(t, dovetail.Transient, dovetail.Classify(err), "%v", err)
			require.Zero(t, w.Target.Calls(), point)
		}
	})
}

func TestInProgressSaysWhenToComeBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, u := records(t, 'A')
		_, err := w.Upserter(t, &process{DieAt: "after claim"}).Create(t.Context(), w.Key, invoice{})
		require.Error(t, err)
		time.Sleep(10 * time.Second)
		_, err = u.Create(t.Context(), w.Key, invoice{})
		require.ErrorIs(t, err, idempotency.ErrInProgress)
		require.Equal(t, dovetail.Transient, dovetail.Classify(err))
		wait, ok := idempotency.WaitOf(err)
		require.True(t, ok)
		require.Equal(t, 20*time.Second, wait)
	})
}

func TestNewUpserterNamesEveryFault(t *testing.T) {
	t.Parallel()
	create := func(context.Context, idempotency.Key, int) (idempotency.Ref, error) { return idempotency.Ref{}, nil }
	_, err := idempotency.NewUpserter(idempotency.Config[int]{Target: idempotency.Target[int]{KeyWindow: time.Hour, FindLag: -1}, OnDoubt: 9})
	for _, code := range []string{"IDM001", "IDM002", "IDM003", "IDM004", "IDM007"} {
		require.ErrorContains(t, err, code)
	}
	store := memstore.New()
	_, err = idempotency.NewUpserter(idempotency.Config[int]{Store: store, Target: idempotency.Target[int]{Create: create}})
	require.ErrorContains(t, err, "IDM006", "class D without a choice")
	_, err = idempotency.NewUpserter(idempotency.Config[int]{Store: store, Target: idempotency.Target[int]{Create: create, KeyWindow: time.Minute}})
	require.ErrorContains(t, err, "IDM006", "a key window that is too short to be of use")
	u, err := idempotency.NewUpserter(idempotency.Config[int]{Store: store, Target: idempotency.Target[int]{Create: create, KeyWindow: time.Hour}})
	require.NoError(t, err)
	_, err = u.Upsert(t.Context(), idempotency.Key{Scope: "s", ID: "1"}, 0, 1)
	require.ErrorIs(t, err, idempotency.ErrNoUpdate)
	_, err = u.Create(t.Context(), idempotency.Key{Scope: "s"}, 1)
	require.ErrorIs(t, err, idempotency.ErrInvalidKey)
	require.Equal(t, dovetail.Invalid, dovetail.Classify(err))
}

// Once the API may have forgotten the key, the same bytes are not sent again: a
// search decides, or a person.
func TestKeyIsNotUsedAfterItsWindow(t *testing.T) {
	t.Parallel()
	for _, class := range []byte("Bb") {
		synctest.Test(t, func(t *testing.T) {
			w, u := records(t, class)
			w.Target.Fail(dovetailtest.TargetLosesReply)
			_, err := u.Create(t.Context(), w.Key, invoice{})
			require.ErrorIs(t, err, idempotency.ErrInDoubt)
			time.Sleep(keyWindow - requestLife) // what is sent now may arrive after the window
			res, err := u.Create(t.Context(), w.Key, invoice{})
			require.Equal(t, 1, w.Target.Calls())
			require.Len(t, w.Target.Of(w.Key), 1)
			if class == 'b' {
				require.NoError(t, err)
				require.Equal(t, idempotency.Adopted, res.Outcome)
				return
			}
			require.Equal(t, dovetail.InDoubt, dovetail.Classify(err), "%v", err)
		})
	}
}

// What was done is recorded, also when the caller has gone meanwhile.
func TestCompletionOutlivesTheCaller(t *testing.T) {
	t.Parallel()
	store, k := memstore.New(), idempotency.Key{Scope: "s", ID: "1"}
	ctx, cancel := context.WithCancel(t.Context())
	u, err := idempotency.NewUpserter(idempotency.Config[int]{Store: store, OnDoubt: idempotency.Park, Target: idempotency.Target[int]{
		Create: func(context.Context, idempotency.Key, int) (idempotency.Ref, error) {
			cancel()
			return idempotency.Ref{ID: "1"}, nil
		},
	}})
	require.NoError(t, err)
	_, err = u.Create(ctx, k, 1)
	require.NoError(t, err)
	e, _, err := store.Get(t.Context(), k)
	require.NoError(t, err)
	require.Equal(t, idempotency.Done, e.State)
}

// More than one hit is never chosen from.
func TestAmbiguousLookUpWaitsForAPerson(t *testing.T) {
	t.Parallel()
	u, err := idempotency.NewUpserter(idempotency.Config[int]{Store: memstore.New(), Target: idempotency.Target[int]{
		Create: func(context.Context, idempotency.Key, int) (idempotency.Ref, error) {
			return idempotency.Ref{}, errors.New("reset")
		},
		Find: func(context.Context, idempotency.Key, int) ([]idempotency.Ref, error) {
			return []idempotency.Ref{{ID: "1"}, {ID: "1"}, {ID: "2"}}, nil
		},
	}})
	require.NoError(t, err)
	k := idempotency.Key{Scope: "s", ID: "1"}
	_, err = u.Create(t.Context(), k, 1)
	require.ErrorIs(t, err, idempotency.ErrInDoubt)
	_, err = u.Create(t.Context(), k, 1)
	require.ErrorIs(t, err, idempotency.ErrAmbiguous)
	require.Equal(t, dovetail.InDoubt, dovetail.Classify(err))
}
