// Package outboxtest runs the queue on real databases.
package outboxtest

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // the driver under test

	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/sqlstore"
)

// pragmas are what the documentation of sqlstore advises.
const pragmas = "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate"

func open(t testing.TB, path string) *sqlstore.Store {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+pragmas)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return sqlstore.New(db, sqlstore.SQLite)
}

func fresh(t testing.TB) *sqlstore.Store {
	t.Helper()
	s := open(t, filepath.Join(t.TempDir(), "queue.db"))
	require.NoError(t, s.Migrate(t.Context()))
	require.NoError(t, s.Verify(t.Context()))
	return s
}

func TestOutboxStoreSQLite(t *testing.T) {
	t.Parallel()
	dovetailtest.RunOutboxStore(t, func(t *testing.T) outbox.Store { return fresh(t) })
	dovetailtest.RunInboxStore(t, func(t *testing.T) outbox.Store { return fresh(t) })
	dovetailtest.RunOperationLog(t, func(t *testing.T) outbox.Store { return fresh(t) })
}
