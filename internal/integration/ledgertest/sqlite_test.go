// Package ledgertest runs the ledger against real databases.
package ledgertest

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/idempotency"
	"github.com/tectari/dovetail/store/sqlstore"
)

func openSQLite(t *testing.T) *sqlstore.Store {
	t.Helper()
	dsn := "file:" + filepath.Join(t.TempDir(), "ledger.db") + "?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)&_txlock=immediate"
	db, err := sql.Open("sqlite", dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	s := sqlstore.New(db, sqlstore.SQLite)
	require.NoError(t, s.Migrate(t.Context()))
	require.NoError(t, s.Verify(t.Context()))
	return s
}

func TestLedgerStoreOnSQLite(t *testing.T) {
	t.Parallel()
	dovetailtest.RunLedgerStore(t, func(t *testing.T) idempotency.Store { return openSQLite(t) })
}
