package servers

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// StartPgBouncer starts a pooler in transaction mode before the database at a URL,
// and returns the URL that leads through it. The test fails without the binary;
// .ci/servers installs it.
func StartPgBouncer(t testing.TB, at string) string {
	t.Helper()
	u, err := url.Parse(at)
	require.NoError(t, err)
	dir, err := os.MkdirTemp("", "dovetail-pgbouncer")
	require.NoError(t, err)
	port := freePort(t)
	login := "user=" + u.User.Username()
	if password, ok := u.User.Password(); ok {
		login += " password='" + password + "'"
	}
	config := fmt.Sprintf(`[databases]
* = host=%s port=%s %s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
`, u.Hostname(), u.Port(), login, port)
	file := filepath.Join(dir, "pgbouncer.ini")
	require.NoError(t, os.WriteFile(file, []byte(config), 0o644))
	p := &OwnPostgres{t: t, dir: dir}
	t.Cleanup(func() {
		p.Kill()
		_ = os.RemoveAll(dir) // it is a temporary one
	})
	if owner := unprivileged(); owner != nil {
		require.NoError(t, os.Chown(dir, int(owner.Uid), int(owner.Gid)))
	}
	p.proc = p.command("pgbouncer", "-q", file)
	require.NoError(t, p.proc.Start(), "install the package pgbouncer")
	u.Host = fmt.Sprint("127.0.0.1:", port)
	q := u.Query()
	// What is prepared on one server connection is not known on the next.
	q.Set("default_query_exec_mode", "exec")
	u.RawQuery = q.Encode()
	require.Eventually(t, func() bool { return ping("pgx", u.String()) == nil }, 20*time.Second, 20*time.Millisecond, "PgBouncer did not start")
	return u.String()
}
