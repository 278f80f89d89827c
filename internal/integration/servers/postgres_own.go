package servers

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// PostgresBinaries returns the folder with initdb and postgres, "" if there is
// none.
func PostgresBinaries() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is well-formed
	slices.Sort(found)
	if n := len(found); n > 0 {
		return filepath.Dir(found[n-1])
	}
	if at, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(at)
	}
	return ""
}

// An OwnPostgres is a server of a test's own, to be killed and started again.
type OwnPostgres struct {
	t    testing.TB
	bin  string
	dir  string
	port int
	proc *exec.Cmd
	opts []string
}

// StartPostgres starts a server in a temporary directory on a free port; options
// are settings like "max_connections=50". The test fails without the binaries.
func StartPostgres(t testing.TB, options ...string) *OwnPostgres {
	t.Helper()
	p := &OwnPostgres{t: t, bin: PostgresBinaries(), port: freePort(t), opts: options}
	require.NotEmpty(t, p.bin, "install the package postgresql")
	dir, err := os.MkdirTemp("", "dovetail-pg")
	require.NoError(t, err)
	p.dir = dir
	t.Cleanup(func() {
		p.Kill()
		_ = os.RemoveAll(dir) // it is a temporary one
	})
	if owner := unprivileged(); owner != nil {
		require.NoError(t, os.Chown(dir, int(owner.Uid), int(owner.Gid)))
	}
	out, err := p.command(filepath.Join(p.bin, "initdb"), "-D", filepath.Join(dir, "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N").CombinedOutput()
	require.NoError(t, err, "initdb: %s", out)
	p.Start()
	return p
}

// command makes a command that runs as somebody who may run Postgres: it refuses
// to be root.
func (p *OwnPostgres) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...) //nolint:gosec // the test's own binaries
	cmd.Dir = p.dir
	if owner := unprivileged(); owner != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: owner}
	}
	return cmd
}

// unprivileged returns who to be instead of root, nil if we are not root.
func unprivileged() *syscall.Credential {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		}
	}
	return nil
}

// URL leads to the server.
func (p *OwnPostgres) URL() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", p.port)
}

// Start starts the server and returns when it answers.
func (p *OwnPostgres) Start() {
	p.t.Helper()
	args := []string{
		"-D", filepath.Join(p.dir, "data"), "-p", strconv.Itoa(p.port), "-k", p.dir, "-c", "listen_addresses=127.0.0.1",
		"-c", "shared_buffers=64MB", "-c", "log_min_messages=fatal",
	}
	for _, o := range p.opts {
		args = append(args, "-c", o)
	}
	p.proc = p.command(filepath.Join(p.bin, "postgres"), args...)
	log, err := os.OpenFile(filepath.Join(p.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	require.NoError(p.t, err)
	p.proc.Stdout, p.proc.Stderr = log, log
	require.NoError(p.t, p.proc.Start())
	_ = log.Close() // the child has its own
	require.Eventually(p.t, func() bool { return ping("pgx", p.URL()) == nil }, time.Minute, 50*time.Millisecond, "Postgres did not start")
}

// Kill ends the server at once, as a crash does.
func (p *OwnPostgres) Kill() { p.end(syscall.SIGQUIT) }

// Stop ends the server as an operator does who does not wait for clients.
func (p *OwnPostgres) Stop() { p.end(syscall.SIGINT) }

func (p *OwnPostgres) end(sig syscall.Signal) {
	if p.proc == nil {
		return
	}
	_ = p.proc.Process.Signal(sig) // it may be gone
	done := make(chan struct{})
	go func() { _ = p.proc.Wait(); close(done) }()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	select {
	case <-done:
	case <-ctx.Done():
		_ = p.proc.Process.Kill()
		<-done
	}
	p.proc = nil
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }() // it was only asked for its port
	return l.Addr().(*net.TCPAddr).Port
}
