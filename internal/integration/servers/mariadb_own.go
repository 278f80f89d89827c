package servers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // the driver
	"github.com/stretchr/testify/require"
)

// An OwnMariaDB is a server of a test's own, to be killed and started again.
type OwnMariaDB struct {
	t    testing.TB
	dir  string
	port int
	log  bool // whether it writes a binary log
	proc *exec.Cmd
}

// StartMariaDB starts a server with a binary log in a temporary directory on a free
// port. The test fails without the binaries.
func StartMariaDB(t testing.TB) *OwnMariaDB {
	t.Helper()
	return startMariaDB(t, true)
}

func startMariaDB(t testing.TB, log bool) *OwnMariaDB {
	t.Helper()
	dir, err := os.MkdirTemp("", "dovetail-mariadb")
	require.NoError(t, err)
	m := &OwnMariaDB{t: t, dir: dir, port: freePort(t), log: log}
	t.Cleanup(func() {
		m.Kill()
		_ = os.RemoveAll(dir) // it is a temporary one
	})
	out, err := exec.Command("mariadb-install-db", "--no-defaults", "--datadir="+filepath.Join(dir, "data"), //nolint:gosec // the test's own folder
		"--auth-root-authentication-method=normal", "--skip-test-db").CombinedOutput()
	require.NoError(t, err, "install the package mariadb-server: %s", out)
	m.Start()
	return m
}

// DSN leads to the server, for go-sql-driver/mysql.
func (m *OwnMariaDB) DSN(database string) string {
	return fmt.Sprintf("root@tcp(127.0.0.1:%d)/%s?interpolateParams=true", m.port, database)
}

// Start starts the server and returns when it answers.
func (m *OwnMariaDB) Start() {
	m.t.Helper()
	args := []string{
		"--no-defaults", "--datadir=" + filepath.Join(m.dir, "data"), "--socket=" + filepath.Join(m.dir, "sock"),
		fmt.Sprint("--port=", m.port), "--bind-address=127.0.0.1", "--innodb-buffer-pool-size=64M",
		"--log-error=" + filepath.Join(m.dir, "errors"),
	}
	if m.log {
		args = append(args, "--log-bin="+filepath.Join(m.dir, "data", "log"), "--sync-binlog=1")
	}
	if os.Geteuid() == 0 {
		args = append(args, "--user=root") // it refuses to be root unless told
	}
	m.proc = exec.Command("mariadbd", args...) //nolint:gosec // the test's own server
	require.NoError(m.t, m.proc.Start())
	require.Eventually(m.t, func() bool { return ping("mysql", m.DSN("")) == nil }, time.Minute, 50*time.Millisecond, "MariaDB did not start")
}

// Kill ends the server at once, as a crash does.
func (m *OwnMariaDB) Kill() {
	if m.proc == nil {
		return
	}
	_ = m.proc.Process.Signal(syscall.SIGKILL) // it may be gone
	done := make(chan struct{})
	go func() { _ = m.proc.Wait(); close(done) }()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	select {
	case <-done:
	case <-ctx.Done():
	}
	m.proc = nil
}
