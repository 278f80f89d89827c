package outboxtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/internal/integration/servers"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/pgxstore"
	"github.com/tectari/dovetail/store/sqlstore"
)

// TestManyMessagesByCopyAreTheSame: what is stored by COPY is, column by column, what
// statements store, in the same order; and what is rolled back is gone.
func TestManyMessagesByCopyAreTheSame(t *testing.T) {
	t.Parallel()
	at := servers.Postgres(t)
	store := sqlstore.New(servers.OpenPostgres(t, at), sqlstore.Postgres)
	require.NoError(t, store.Migrate(t.Context()))
	pool, err := pgxpool.New(t.Context(), at)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	_, err = pool.Exec(t.Context(), "CREATE TABLE orders (id text PRIMARY KEY)")
	require.NoError(t, err)
	queue := queueOn(t, store,
		outbox.Destination{Name: "keys"}, outbox.Destination{Name: "any", Order: outbox.Unordered}, outbox.Destination{Name: "one", Order: outbox.Serial})

	// Of every kind: those with a DedupKey or a Due are stored by statements between the
	// others, and the order holds.
	batch := func(of string) []outbox.Message {
		var list []outbox.Message
		for i := range 300 {
			m := outbox.Message{
				ID: fmt.Sprint("m", i), To: []string{"keys", "any", "one"}[i%3], Topic: "t\u00e9, \"{}\\", Key: fmt.Sprint("k'\\", i%7),
				Payload: []byte{0, 1, byte(i), '\n', '\t', '\\', 0xff},
			}
			switch i % 50 {
			case 1:
				m.Headers = map[string]string{"a": "b\n", "c": "\u00e9"}
			case 2:
				m.Key, m.Payload, m.Topic = "", nil, ""
			case 3:
				m.Payload = []byte(strings.Repeat("x", 20_000))
			case 4:
				m.DedupKey = of + fmt.Sprint(i)
			}
			list = append(list, m)
		}
		return list
	}
	rows := func() string {
		var out strings.Builder
		got, err := pool.Query(t.Context(), `SELECT row_number() OVER (ORDER BY id), shard, destination, lane, message, topic, key, headers, md5(payload), created > 1600000000000
			FROM dovetail_message ORDER BY id`)
		require.NoError(t, err)
		values, err := pgx.CollectRows(got, pgx.RowToMap)
		require.NoError(t, err)
		for _, v := range values {
			fmt.Fprintln(&out, v)
		}
		_, err = pool.Exec(t.Context(), "DELETE FROM dovetail_message")
		require.NoError(t, err)
		return out.String()
	}

	require.NoError(t, queue.Tx(t.Context(), func(ctx context.Context, tx outbox.Tx) error { return queue.Enqueue(ctx, tx, batch("plain")...) }))
	want := rows()
	require.Equal(t, 300, strings.Count(want, "\n"))
	require.NoError(t, pgxstore.InTx(t.Context(), pool, queue, func(ctx context.Context, tx *pgxstore.Tx) error {
		tx.Enqueue(batch("intx")...)
		_, err := tx.Exec(ctx, "INSERT INTO orders VALUES ('1')")
		return err
	}))
	require.Equal(t, want, rows(), "InTx")
	require.NoError(t, pgxstore.InTx(t.Context(), pool, queue, func(_ context.Context, tx *pgxstore.Tx) error {
		tx.Enqueue(batch("alone")...)
		return nil
	}))
	require.Equal(t, want, rows(), "InTx without a statement: BEGIN goes before the rows")
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return queue.Enqueue(t.Context(), pgxstore.FromTx(tx), batch("fromtx")...) }))
	require.Equal(t, want, rows(), "FromTx")

	wrong := errors.New("changed my mind")
	err = pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		return errors.Join(queue.Enqueue(t.Context(), pgxstore.FromTx(tx), batch("never")...), wrong)
	})
	require.ErrorIs(t, err, wrong)
	require.Empty(t, rows())
	err = pgxstore.InTx(t.Context(), pool, queue, func(ctx context.Context, tx *pgxstore.Tx) error {
		tx.Enqueue(batch("never")...)
		_, _ = tx.Exec(ctx, "INSERT INTO orders VALUES ('1')") // it is there: the transaction is spoilt
		return nil
	})
	require.Error(t, err)
	require.Empty(t, rows())
	require.EqualValues(t, 0, pool.Stat().AcquiredConns(), "no connection stays behind")
}
