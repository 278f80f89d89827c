package sinktest

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// A Process is a server of the test's own: it may be killed and started again.
type Process struct {
	// Command returns the command that starts the server. Required.
	Command func() *exec.Cmd
	// Ready returns nil once the server serves. Required.
	Ready func() error
	// PID returns the process to kill along with the command, where the command is
	// a wrapper of it. Optional.
	PID func() (int, error)

	t    testing.TB
	cmd  *exec.Cmd
	log  log
	done chan struct{}
}

// log is what a server says.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Start starts the server, which ends with the test at the latest.
func (p *Process) Start(t testing.TB) {
	t.Helper()
	p.t = t
	p.Restart()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("the server said:\n%s", p.log.String())
		}
	})
}

// Kill kills the server as kill -9 does, and waits for its end.
func (p *Process) Kill() {
	if p.cmd == nil {
		return
	}
	if p.PID != nil {
		if pid, err := p.PID(); err == nil {
			if found, err := os.FindProcess(pid); err == nil {
				_ = found.Kill() // it may have ended by itself
			}
		}
	}
	_ = p.cmd.Process.Kill() // as above
	<-p.done
	p.cmd = nil
}

// Restart starts the server again, and returns once it serves.
func (p *Process) Restart() {
	p.t.Helper()
	cmd := p.Command()
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	done := make(chan struct{})
	p.cmd, p.done = cmd, done
	go func() {
		defer close(done)
		_ = cmd.Wait() // it was killed
	}()
	Eventually(p.t, 5*time.Minute, p.Ready) // where many tests share few processors
}

// FreePort returns a port of the loopback that nobody listens on.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return port
}
