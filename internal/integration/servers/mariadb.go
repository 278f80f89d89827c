package servers

import (
	"os"
	"os/exec"
	"testing"
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
