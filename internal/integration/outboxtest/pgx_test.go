package outboxtest

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/internal/integration/servers"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/sqlstore"
)

// TestEnqueueInAPgxTransaction: a message is stored in the caller's pgx.Tx, one or
// many, scheduled or with a DedupKey, and only if that commits.
func TestEnqueueInAPgxTransaction(t *testing.T) {
	t.Parallel()
	at := servers.Postgres(t)
	s := sqlstore.New(servers.OpenPostgres(t, at), sqlstore.Postgres)
	require.NoError(t, s.Migrate(t.Context()))
	pool, err := pgxpool.New(t.Context(), at)
	require.NoError(t, err)
	defer pool.Close()
	b := newBook()
	q := queueOn(t, s, outbox.Destination{Name: "a", Handler: b})
	defer run(t, q)()

	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			tx.Conn().Config().DefaultQueryExecMode = mode
			id := mode.String()
			return q.Enqueue(t.Context(), sqlstore.FromPgx(tx),
				outbox.Message{ID: id + " one", To: "a", Key: "k", Payload: []byte{0, 1, 2, '"', '\\'}, Headers: map[string]string{"h": `"{},\`}},
				outbox.Message{ID: id + ` "two"`, To: "a", Key: `{"\`, Payload: nil},
				outbox.Message{ID: id + " later", To: "a", Key: "l", Due: time.Now().Add(50 * time.Millisecond), DedupKey: "d"},
				outbox.Message{ID: id + " again", To: "a", Key: "l", DedupKey: "d"},
			)
		}), mode)
		require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			return q.Enqueue(t.Context(), sqlstore.FromPgx(tx), outbox.Message{ID: id(mode), To: "a", Key: "k"})
		}))
	}
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	require.NoError(t, q.Enqueue(t.Context(), sqlstore.FromPgx(tx), outbox.Message{ID: "never", To: "a", Key: "n"}))
	require.NoError(t, tx.Rollback(t.Context()))

	require.Eventually(t, func() bool { return b.count() == 3*3+1 }, 20*time.Second, 5*time.Millisecond)
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Equal(t, []string{
		"cache statement one", "after cache statement", "exec one", "after exec", "simple protocol one", "after simple protocol",
	}, b.got["k"])
	require.Equal(t, []string{"cache statement later"}, b.got["l"])
	require.Len(t, b.got[`{"\`], 3)
	require.NotContains(t, b.got, "n")

	other := sqlstore.New(servers.OpenPostgres(t, at), sqlstore.SQLite)
	_, err = other.InsertMessages(t.Context(), sqlstore.FromPgx(tx), nil)
	require.ErrorIs(t, err, outbox.ErrForeignTx, "a store of another dialect refuses it")
}

func id(mode pgx.QueryExecMode) string { return "after " + mode.String() }
