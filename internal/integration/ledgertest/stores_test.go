// Package ledgertest runs the ledger against real databases.
package ledgertest

import (
	"database/sql"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/idempotency"
	"github.com/tectari/dovetail/internal/integration/servers"
	"github.com/tectari/dovetail/store/memstore"
	"github.com/tectari/dovetail/store/sqlstore"
)

func TestMain(m *testing.M) {
	// Most tests here wait, for leases and for what is under way.
	flag.Parse()
	if most := flag.Lookup("test.parallel"); most.Value.String() == most.DefValue {
		_ = most.Value.Set("64") // a number
	}
	code := m.Run()
	servers.Stop()
	os.Exit(code)
}

// stores makes a ledger in each of the databases.
var stores = map[string]func(testing.TB) idempotency.Store{
	"Memory":   func(testing.TB) idempotency.Store { return memstore.New() },
	"SQLite":   func(t testing.TB) idempotency.Store { return openSQLite(t) },
	"Postgres": openPostgres,
	"MariaDB":  openMariaDB,
}

func openSQLite(t testing.TB) *sqlstore.Store {
	t.Helper()
	dsn := "file:" + filepath.Join(t.TempDir(), "ledger.db") + "?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)&_txlock=immediate"
	db, err := sql.Open("sqlite", dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return migrated(t, db, sqlstore.SQLite)
}

func openPostgres(t testing.TB) idempotency.Store {
	t.Helper()
	return migrated(t, servers.OpenPostgres(t, servers.Postgres(t)), sqlstore.Postgres)
}

func openMariaDB(t testing.TB) idempotency.Store {
	t.Helper()
	return migrated(t, servers.OpenMariaDB(t, servers.MariaDBDatabase(t)), sqlstore.MySQL)
}

func migrated(t testing.TB, db *sql.DB, d sqlstore.Dialect) *sqlstore.Store {
	t.Helper()
	s := sqlstore.New(db, d)
	require.NoError(t, s.Migrate(t.Context()))
	return s
}

func TestLedgerStore(t *testing.T) {
	t.Parallel()
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dovetailtest.RunLedgerStore(t, func(t *testing.T) idempotency.Store { return open(t) })
		})
	}
}

// With clientFoundRows the driver counts the rows that a statement found, without it
// those that it changed. The ledger must not tell the two apart.
func TestLedgerStoreMariaDBFoundRows(t *testing.T) {
	t.Parallel()
	dovetailtest.RunLedgerStore(t, func(t *testing.T) idempotency.Store {
		config := servers.MariaDBDatabase(t)
		config.ClientFoundRows, config.InterpolateParams = true, false
		return migrated(t, servers.OpenMariaDB(t, config), sqlstore.MySQL)
	})
}
