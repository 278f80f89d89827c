package servers

import (
	"crypto/rand"
	"database/sql"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"
)

// MariaDBDSN returns where a MariaDB or MySQL is, for go-sql-driver/mysql: what
// DOVETAIL_MYSQL_DSN names, else the one on the standard port, else one that is
// started from the installed binaries and ended by Stop. A test without any is
// skipped.
func MariaDBDSN(t testing.TB) string {
	t.Helper()
	if dsn := os.Getenv("DOVETAIL_MYSQL_DSN"); dsn != "" {
		return dsn
	}
	const local = "root@tcp(127.0.0.1:3306)/"
	if ping("mysql", local) == nil {
		return local
	}
	for _, name := range []string{"mariadb-install-db", "mariadbd"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip("no MySQL or MariaDB: set DOVETAIL_MYSQL_DSN, start one on 127.0.0.1:3306, or install the package mariadb-server")
		}
	}
	return sharedMariaDB(t).DSN("")
}

// MariaDBDatabase makes a database with a name of its own, which is dropped at the
// end of the test, and returns how to open it.
func MariaDBDatabase(t testing.TB) *mysql.Config {
	t.Helper()
	c, err := mysql.ParseDSN(MariaDBDSN(t))
	require.NoError(t, err)
	// On a connection of its own each: a property makes hundreds of databases, and
	// the server has not many more connections.
	do := func(statement string) {
		connector, err := mysql.NewConnector(c)
		require.NoError(t, err)
		db := sql.OpenDB(connector)
		defer func() { require.NoError(t, db.Close()) }()
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

// OpenMariaDB opens a database until the end of the test.
func OpenMariaDB(t testing.TB, c *mysql.Config) *sql.DB {
	t.Helper()
	connector, err := mysql.NewConnector(c)
	require.NoError(t, err)
	db := sql.OpenDB(connector)
	db.SetMaxIdleConns(8)
	db.SetConnMaxIdleTime(time.Second)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}
