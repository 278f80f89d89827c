package idempotency_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/idempotency"
	"github.com/tectari/dovetail/store/memstore"
)

// A caller counts how often an operation was done, and answers with it.
type caller struct {
	calls int
	err   error
}

func (c *caller) do(ctx context.Context, s idempotency.Store, payload any) (int, idempotency.Outcome, error) {
	return idempotency.Do(ctx, s, idempotency.Key{Scope: "mail", ID: "1"}, payload, func(context.Context, idempotency.Claim) (int, error) {
		c.calls++
		return c.calls, c.err
	})
}

func TestDoOnceAndReplay(t *testing.T) {
	t.Parallel()
	s, c := memstore.New(), &caller{}
	for n, want := range []idempotency.Outcome{idempotency.Created, idempotency.Replayed, idempotency.Replayed} {
		r, o, err := c.do(t.Context(), s, "a")
		require.NoError(t, err)
		require.Equal(t, 1, r, "call %d", n)
		require.Equal(t, want, o)
	}
	_, _, err := c.do(t.Context(), s, "b")
	require.ErrorIs(t, err, idempotency.ErrKeyReused)
	require.Equal(t, dovetail.Invalid, dovetail.Classify(err))
	require.Equal(t, 1, c.calls)
	_, _, err = idempotency.Do(t.Context(), s, idempotency.Key{Scope: "mail"}, 1, func(context.Context, idempotency.Claim) (int, error) { return 0, nil })
	require.ErrorIs(t, err, idempotency.ErrInvalidKey)
}

func TestDoReleasesWithProofOnly(t *testing.T) {
	t.Parallel()
	s, c := memstore.New(), &caller{err: idempotency.NotApplied(errors.New("no connection"))}
	for range 2 {
		_, _, err := c.do(t.Context(), s, "a")
		require.ErrorIs(t, err, c.err)
	}
	require.Equal(t, 2, c.calls)
	c.err = errors.New("timeout")
	for range 3 {
		_, _, err := c.do(t.Context(), s, "a")
		require.ErrorIs(t, err, idempotency.ErrInDoubt)
		require.Equal(t, dovetail.InDoubt, dovetail.Classify(err))
	}
	require.Equal(t, 3, c.calls, "in doubt, it is not called again")
}

func TestResolveByAPerson(t *testing.T) {
	t.Parallel()
	k := idempotency.Key{Scope: "mail", ID: "1"}
	for _, happened := range []bool{true, false} {
		s, c := memstore.New(), &caller{err: errors.New("timeout")}
		require.ErrorIs(t, idempotency.Resolve(t.Context(), s, k, idempotency.DidNotHappen(), "ann"), idempotency.ErrNotInDoubt)
		_, _, err := c.do(t.Context(), s, "a")
		require.Error(t, err)
		require.ErrorIs(t, idempotency.Resolve(t.Context(), s, k, idempotency.Answer{}, "ann"), idempotency.ErrNoAnswer)
		require.ErrorIs(t, idempotency.Resolve(t.Context(), s, k, idempotency.DidNotHappen(), " "), idempotency.ErrNoAnswer)
		a, want := idempotency.DidNotHappen(), idempotency.Created
		if happened {
			a, want = idempotency.Happened(idempotency.Ref{}), idempotency.Replayed
		}
		require.NoError(t, idempotency.Resolve(t.Context(), s, k, a, "ann"))
		e, _, err := s.Get(t.Context(), k)
		require.NoError(t, err)
		require.Equal(t, "ann", e.By)
		require.ErrorIs(t, idempotency.Resolve(t.Context(), s, k, a, "bob"), idempotency.ErrNotInDoubt)
		c.err = nil
		_, o, err := c.do(t.Context(), s, "a")
		require.NoError(t, err)
		require.Equal(t, want, o)
	}
}

// A person does not answer over the head of a worker that is at it.
func TestResolveWaitsForAWorker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld('D')
		_, err := w.Upserter(t, &process{DieAt: "after mark"}).Create(t.Context(), w.Key, invoice{})
		require.Error(t, err)
		err = idempotency.Resolve(t.Context(), w.Store, w.Key, idempotency.DidNotHappen(), "ann")
		require.ErrorIs(t, err, idempotency.ErrInProgress)
		require.ErrorIs(t, idempotency.Resolve(t.Context(), w.Store, w.Key, idempotency.Happened(idempotency.Ref{}), "ann"), idempotency.ErrNoAnswer)
		time.Sleep(lease)
		require.NoError(t, idempotency.Resolve(t.Context(), w.Store, w.Key, idempotency.DidNotHappen(), "ann"))
	})
}

// What fn writes in the store's own transaction and that it happened are one.
func TestDoCompletesInTheCallersTransaction(t *testing.T) {
	t.Parallel()
	s, k := memstore.New(), idempotency.Key{Scope: "mail", ID: "1"}
	r, _, err := idempotency.Do(t.Context(), s, k, 1, func(ctx context.Context, c idempotency.Claim) (int, error) {
		tx, err := s.Begin(ctx)
		if err != nil {
			return 0, err
		}
		defer func() { _ = tx.Rollback() }() // after Commit it does nothing
		if err := s.CompleteTx(ctx, tx, idempotency.Completion{Key: c.Key, Fence: c.Fence, Result: []byte("7")}); err != nil {
			return 0, err
		}
		return 7, tx.Commit()
	})
	require.NoError(t, err)
	require.Equal(t, 7, r)
	e, _, err := s.Get(t.Context(), k)
	require.NoError(t, err)
	require.Equal(t, idempotency.Done, e.State)
}

// A call that is longer than the lease keeps its key, and one that loses it ends.
func TestLeaseIsRenewedWhileItWorks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, c := memstore.New(), &caller{}
		k := idempotency.Key{Scope: "mail", ID: "1"}
		_, _, err := idempotency.Do(t.Context(), s, k, "a", func(ctx context.Context, _ idempotency.Claim) (int, error) {
			time.Sleep(5 * time.Minute)
			_, _, err := c.do(ctx, s, "a")
			require.ErrorIs(t, err, idempotency.ErrInProgress)
			require.NoError(t, ctx.Err())
			return 1, nil
		})
		require.NoError(t, err)
		p := &process{Store: s, PauseAt: "before renew", Pause: time.Hour}
		_, _, err = idempotency.Do(t.Context(), p, idempotency.Key{Scope: "mail", ID: "2"}, "a", func(ctx context.Context, c idempotency.Claim) (int, error) {
			time.Sleep(2 * time.Minute)
			_, err := s.Claim(ctx, idempotency.ClaimRequest{Key: c.Key, Kind: idempotency.Operation, Fingerprint: fingerprintOf(t, s, c.Key), Lease: time.Hour})
			require.NoError(t, err)
			<-ctx.Done() // the renewal finds that somebody took over
			return 1, nil
		})
		require.ErrorIs(t, err, idempotency.ErrFenced)
	})
}

func fingerprintOf(t *testing.T, s idempotency.Store, k idempotency.Key) idempotency.Fingerprint {
	e, _, err := s.Get(context.Background(), k)
	require.NoError(t, err)
	return e.Fingerprint
}
