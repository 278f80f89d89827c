package ledgertest

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/idempotency"
)

// Several workers write the same records through one SQLite ledger, and every
// second reply is lost: each record is made once.
func TestConcurrentWorkersMakeOneRecordEach(t *testing.T) {
	t.Parallel()
	store := openSQLite(t)
	target := dovetailtest.NewTarget[int](dovetailtest.TargetConfig{KeyWindow: time.Hour})
	const keys, workers = 20, 4
	for range keys {
		target.Fail(dovetailtest.TargetLosesReply, dovetailtest.TargetObeys)
	}
	u, err := idempotency.NewUpserter(idempotency.Config[int]{
		Store: store, Lease: time.Second, Target: idempotency.Target[int]{Create: target.Create, KeyWindow: time.Hour},
	})
	require.NoError(t, err)
	key := func(n int) idempotency.Key { return idempotency.Key{Scope: "s", ID: string(rune('a' + n))} }
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for n := range keys {
				for {
					_, err := u.Create(t.Context(), key(n), n)
					if err == nil {
						break
					}
					if t.Context().Err() != nil {
						return
					}
				}
			}
		})
	}
	wg.Wait()
	for n := range keys {
		require.Len(t, target.Of(key(n)), 1)
		e, found, err := store.Get(t.Context(), key(n))
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, idempotency.Done, e.State)
		require.Equal(t, target.Of(key(n))[0].ID, e.Ref.ID)
	}
}
