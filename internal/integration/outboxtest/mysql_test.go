package outboxtest

import (
	"crypto/rand"
	"database/sql"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql" // the driver under test
	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/internal/integration/servers"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/sqlstore"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		if err := childRelay(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// Most tests here wait, for leases and servers.
	flag.Parse()
	if most := flag.Lookup("test.parallel"); most.Value.String() == most.DefValue {
		_ = most.Value.Set(strconv.Itoa(max(5, runtime.GOMAXPROCS(0)))) // a number
	}
	code := m.Run()
	servers.Stop()
	os.Exit(code)
}

// mysqlDatabase makes a database and returns how to open it.
func mysqlDatabase(t testing.TB) *mysql.Config {
	t.Helper()
	c, err := mysql.ParseDSN(servers.MariaDBDSN(t))
	require.NoError(t, err)
	// On a connection of its own each: a property makes hundreds of databases, and
	// the server has not many more connections.
	do := func(statement string) {
		connector, err := mysql.NewConnector(c)
		require.NoError(t, err)
		db := sql.OpenDB(connector)
		defer db.Close()
		_, err = db.Exec(statement)
		require.NoError(t, err)
	}
	name := "dovetail_test_" + strings.ToLower(rand.Text()[:12])
	do("CREATE DATABASE " + name + " CHARACTER SET latin1")
	t.Cleanup(func() { do("DROP DATABASE " + name) })
	own := c.Clone()
	own.DBName, own.InterpolateParams = name, true
	return own
}

func openMySQLConfig(t testing.TB, c *mysql.Config) *sql.DB {
	t.Helper()
	connector, err := mysql.NewConnector(c)
	require.NoError(t, err)
	db := sql.OpenDB(connector)
	db.SetMaxIdleConns(8)
	db.SetConnMaxIdleTime(time.Second)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// freshMySQL returns a store in a database of its own.
func freshMySQL(t testing.TB) *sqlstore.Store {
	t.Helper()
	s := sqlstore.New(openMySQLConfig(t, mysqlDatabase(t)), sqlstore.MySQL)
	require.NoError(t, s.Migrate(t.Context()))
	verifyMySQL(t, s)
	return s
}

// verifyMySQL demands all of a server at hand but log_bin: a test that does not
// kill it does not need that.
func verifyMySQL(t testing.TB, s *sqlstore.Store) {
	t.Helper()
	if err := s.Verify(t.Context()); err != nil {
		require.ErrorContains(t, err, "log_bin is 0")
		require.Equal(t, 1, strings.Count(err.Error(), "; "), "%v", err)
	}
}

func TestOutboxStoreMySQL(t *testing.T) {
	t.Parallel()
	dovetailtest.RunOutboxStore(t, func(t *testing.T) outbox.Store { return freshMySQL(t) })
}

func TestOutboxStoreMySQLPrepared(t *testing.T) {
	t.Parallel()
	dovetailtest.RunOutboxStore(t, func(t *testing.T) outbox.Store {
		c := mysqlDatabase(t)
		c.InterpolateParams, c.ClientFoundRows = false, true
		s := sqlstore.New(openMySQLConfig(t, c), sqlstore.MySQL)
		require.NoError(t, s.Migrate(t.Context()))
		return s
	})
}

func TestOperationLogMySQL(t *testing.T) {
	t.Parallel()
	dovetailtest.RunInboxStore(t, func(t *testing.T) outbox.Store { return freshMySQL(t) })
	dovetailtest.RunOperationLog(t, func(t *testing.T) outbox.Store { return freshMySQL(t) })
}
