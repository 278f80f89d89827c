package outboxtest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/internal/integration/servers"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/pgxstore"
	"github.com/tectari/dovetail/store/sqlstore"
)

// A pgxShop is a business table and a queue on one pool of two connections, so
// that one that is left in a transaction is noticed.
type pgxShop struct {
	t     *testing.T
	pool  *pgxpool.Pool
	queue *outbox.Queue
	book  *book
}

func newPgxShop(t *testing.T) *pgxShop {
	t.Helper()
	at := servers.Postgres(t)
	s := sqlstore.New(servers.OpenPostgres(t, at), sqlstore.Postgres)
	require.NoError(t, s.Migrate(t.Context()))
	config, err := pgxpool.ParseConfig(at)
	require.NoError(t, err)
	config.MaxConns = 2
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	_, err = pool.Exec(t.Context(), "CREATE TABLE orders (id text PRIMARY KEY, cents integer NOT NULL CHECK (cents >= 0))")
	require.NoError(t, err)
	b := newBook()
	q := queueOn(t, s, outbox.Destination{Name: "a", Handler: b})
	t.Cleanup(run(t, q))
	return &pgxShop{t: t, pool: pool, queue: q, book: b}
}

// orders says what is in the table, which must hold no locks.
func (s *pgxShop) orders() (n int) {
	s.t.Helper()
	require.NoError(s.t, s.pool.QueryRow(s.t.Context(), "SELECT count(*) FROM orders").Scan(&n))
	var idle int
	require.NoError(s.t, s.pool.QueryRow(s.t.Context(),
		"SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND query LIKE '%orders%' AND pid <> pg_backend_pid() AND query LIKE '%'||current_schema()||'%'").Scan(&idle))
	require.Zero(s.t, idle)
	return n
}

const placeOrder = "INSERT INTO orders (id, cents) VALUES ($1, $2)"

// TestMessagesTravelWithTheCommit: what InTx and Exec store is there together with
// the business data, or not at all, whatever fails.
func TestMessagesTravelWithTheCommit(t *testing.T) {
	t.Parallel()
	s := newPgxShop(t)
	ctx := t.Context()
	message := func(id string) outbox.Message { return outbox.Message{ID: id, To: "a", Key: "k", Payload: []byte(id)} }

	for i := range 5 {
		require.NoError(t, pgxstore.InTx(ctx, s.pool, s.queue, func(ctx context.Context, tx *pgxstore.Tx) error {
			tx.Enqueue(message(fmt.Sprint("one ", i)))
			_, err := tx.Exec(ctx, placeOrder, fmt.Sprint(i), 1)
			return err
		}))
		_, err := pgxstore.Exec(ctx, s.pool, s.queue, placeOrder, []any{fmt.Sprint("x", i), 1}, message(fmt.Sprint("two ", i)), message(fmt.Sprint("three ", i)))
		require.NoError(t, err)
	}
	require.Equal(t, 10, s.orders())
	require.Eventually(t, func() bool { return s.book.count() == 15 }, 20*time.Second, time.Millisecond)
	require.Equal(t, []string{"one 0", "two 0", "three 0", "one 1"}, s.book.got["k"][:4], "in the order of the commits")

	wrong := errors.New("changed my mind")
	bad := map[string]func() error{
		"fn fails": func() error {
			return pgxstore.InTx(ctx, s.pool, s.queue, func(ctx context.Context, tx *pgxstore.Tx) error {
				tx.Enqueue(message("never"))
				_, err := tx.Exec(ctx, placeOrder, "never", 1)
				return errors.Join(err, wrong)
			})
		},
		"the first statement fails": func() error {
			return pgxstore.InTx(ctx, s.pool, s.queue, func(ctx context.Context, tx *pgxstore.Tx) error {
				tx.Enqueue(message("never"))
				_, err := tx.Exec(ctx, placeOrder, "never", -1)
				return err
			})
		},
		"a failure that fn keeps to itself": func() error {
			return pgxstore.InTx(ctx, s.pool, s.queue, func(ctx context.Context, tx *pgxstore.Tx) error {
				_, _ = tx.Exec(ctx, placeOrder, "never", 1)
				_, _ = tx.Exec(ctx, placeOrder, "never", -1)
				return nil
			})
		},
		"the same with messages": func() error {
			return pgxstore.InTx(ctx, s.pool, s.queue, func(ctx context.Context, tx *pgxstore.Tx) error {
				tx.Enqueue(message("never"))
				_, _ = tx.Exec(ctx, placeOrder, "never", -1)
				return nil
			})
		},
		"a message that cannot be stored": func() error {
			return pgxstore.InTx(ctx, s.pool, s.queue, func(ctx context.Context, tx *pgxstore.Tx) error {
				tx.Enqueue(outbox.Message{ID: "never", To: "nobody"})
				_, err := tx.Exec(ctx, placeOrder, "never", 1)
				return err
			})
		},
		"a statement by itself": func() error {
			_, err := pgxstore.Exec(ctx, s.pool, s.queue, placeOrder, []any{"never", -1}, message("never"))
			return err
		},
		"a message by itself": func() error {
			_, err := pgxstore.Exec(ctx, s.pool, s.queue, placeOrder, []any{"never", 1}, outbox.Message{To: "nobody"})
			return err
		},
	}
	for name, do := range bad {
		require.Error(t, do(), name)
		require.Equal(t, 10, s.orders(), name)
	}
	require.PanicsWithValue(t, "stop", func() {
		_ = pgxstore.InTx(ctx, s.pool, s.queue, func(ctx context.Context, tx *pgxstore.Tx) error {
			_, _ = tx.Exec(ctx, placeOrder, "never", 1)
			panic("stop")
		})
	})
	require.Equal(t, 10, s.orders(), "a panic rolls back")
	require.ErrorIs(t, pgxstore.InTx(ctx, s.pool, s.queue, func(ctx context.Context, tx *pgxstore.Tx) error {
		_, _ = tx.Exec(ctx, placeOrder, "never", -1)
		return nil
	}), pgxstore.ErrNotCommitted)
	require.Equal(t, 15, s.book.count(), "and nothing of it was sent")
}

// TestInTxInEveryOrder: queries first, messages only, deduplication keys, nothing.
func TestInTxInEveryOrder(t *testing.T) {
	t.Parallel()
	s := newPgxShop(t)
	ctx := t.Context()
	require.NoError(t, pgxstore.InTx(ctx, s.pool, s.queue, func(context.Context, *pgxstore.Tx) error { return nil }))
	for range 2 {
		require.NoError(t, pgxstore.InTx(ctx, s.pool, s.queue, func(ctx context.Context, tx *pgxstore.Tx) error {
			var n int
			if err := tx.QueryRow(ctx, "SELECT count(*) FROM orders").Scan(&n); err != nil {
				return err
			}
			rows, err := tx.Query(ctx, "SELECT id FROM orders")
			if err != nil {
				return err
			}
			rows.Close()
			tx.Enqueue(
				outbox.Message{ID: "first", To: "a", Key: "k"},
				outbox.Message{ID: "once", To: "a", Key: "k", DedupKey: "d"},
				outbox.Message{ID: "last", To: "a", Key: "k"},
			)
			return rows.Err()
		}))
	}
	require.NoError(t, pgxstore.InTx(ctx, s.pool, s.queue, func(_ context.Context, tx *pgxstore.Tx) error {
		tx.Enqueue(outbox.Message{ID: "alone", To: "a", Key: "k"})
		return nil
	}))
	require.Eventually(t, func() bool { return s.book.count() == 6 }, 20*time.Second, time.Millisecond)
	require.Equal(t, []string{"first", "once", "last", "first", "last", "alone"}, s.book.got["k"])
	_, err := pgxstore.Exec(ctx, s.pool, s.queue, placeOrder, []any{"x", 1}, outbox.Message{To: "a", DedupKey: "d"})
	require.ErrorIs(t, err, outbox.ErrInvalidMessage)
	require.Zero(t, s.orders())
}
