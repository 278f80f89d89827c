package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
)

// TestOnceMakesOneEffect delivers every message several times, as a crash would,
// and lets transactions fail after the effect.
func TestOnceMakesOneEffect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		consumer := memstore.New()
		books := newBench(t, consumer, outbox.Destination{Name: "books"}) // an effect in the consumer's database
		lost := errors.New("connection lost")
		tries := 0
		s := &sink{}
		s.set(func(d outbox.Delivery) error {
			err := consumer.Transact(t.Context(), func(ctx context.Context, tx outbox.Tx) error {
				first, err := outbox.Once(ctx, tx, consumer, "billing", d.ID)
				if err != nil || !first {
					return err
				}
				if err := books.queue.Enqueue(ctx, tx, msg("books", "", d.ID)); err != nil {
					return err
				}
				if tries++; tries%3 == 0 {
					return lost // before the commit
				}
				return nil
			})
			if err == nil && d.Attempt < 3 {
				return lost // after the commit: it comes again
			}
			return err
		})
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s})
		defer b.run()()
		b.sendMany("a", 50, 7)
		time.Sleep(10 * time.Minute)
		require.Len(t, s.ids(), 50)
		require.GreaterOrEqual(t, s.attempts(), 3*50)
		require.EqualValues(t, 50, books.lag("books").Waiting)
	})
}

func TestOnceRefusesWhatItCannotRemember(t *testing.T) {
	t.Parallel()
	store := memstore.New()
	tx, err := store.Begin(t.Context())
	require.NoError(t, err)
	for _, bad := range [][2]string{{"", "1"}, {"billing", ""}, {"billing", "a\x00"}, {"\xff", "1"}, {"billing", strings.Repeat("x", 1025)}} {
		_, err := outbox.Once(t.Context(), tx, store, bad[0], bad[1])
		require.ErrorIs(t, err, outbox.ErrInvalidMessage)
	}
	_, err = outbox.Once(t.Context(), nil, store, "billing", "1")
	require.ErrorIs(t, err, outbox.ErrForeignTx)
	other, err := memstore.New().Begin(t.Context())
	require.NoError(t, err)
	_, err = outbox.Once(t.Context(), other, store, "billing", "1")
	require.ErrorIs(t, err, outbox.ErrForeignTx)
	require.NoError(t, tx.Rollback())
	_, err = outbox.Once(t.Context(), tx, store, "billing", "1")
	require.ErrorIs(t, err, memstore.ErrTxDone)
}

func TestInboxForgetsInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		q, err := outbox.New(outbox.Config{Store: store, Alerts: manager(t), InboxFor: 3 * time.Hour}) // also without a destination
		require.NoError(t, err)
		once := func(id string) (first bool) {
			require.NoError(t, store.Transact(t.Context(), func(ctx context.Context, tx outbox.Tx) (err error) {
				first, err = outbox.Once(ctx, tx, store, "billing", id)
				return err
			}))
			return first
		}
		for i := range 2500 {
			require.True(t, once(fmt.Sprint(i)))
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- q.Run(ctx) }()
		time.Sleep(3*time.Hour - time.Minute)
		require.False(t, once("7"), "remembered as long as Config.InboxFor says")
		time.Sleep(3 * time.Minute)
		n, err := store.ForgetMessages(t.Context(), 3*time.Hour, 10_000)
		require.NoError(t, err)
		require.Zero(t, n, "and then forgotten, all of it")
		require.True(t, once("7"))
		cancel()
		require.NoError(t, <-ended)
	})
}
