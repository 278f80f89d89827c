// Package storetest runs the contracts of the stores against real databases.
package storetest

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/store/sqlstore"
	datasync "github.com/tectari/dovetail/sync"
	_ "modernc.org/sqlite"
)

func openSQLite(t *testing.T) *sqlstore.Store {
	t.Helper()
	dsn := "file:" + filepath.Join(t.TempDir(), "sync.db") + "?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)&_txlock=immediate"
	db, err := sql.Open("sqlite", dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	s := sqlstore.New(db, sqlstore.SQLite)
	require.NoError(t, s.Migrate(t.Context()))
	require.NoError(t, s.Verify(t.Context()))
	return s
}

func TestSyncStoreOnSQLite(t *testing.T) {
	t.Parallel()
	dovetailtest.RunSyncStore(t, func(t *testing.T) datasync.Store { return openSQLite(t) })
}
