package outboxtest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/sqlstore"
)

// childEnv names the variable that makes the test binary a relay and nothing else.
const childEnv = "DOVETAIL_CHILD_RELAY"

// A childConfig is what a relay in a process of its own is to do.
type childConfig struct {
	Kind         kind
	DSN          string
	Who          string
	Lease        time.Duration
	Work         time.Duration // how long a delivery takes
	Concurrency  int
	Destinations []string
	Orders       []outbox.Order
}

// A said is a line of a child: a delivery begins, or it ended or failed, or the child
// is dead.
type said struct {
	What, Who, To, Key, ID string
}

// A pipe is what all children of an env write to. The operating system puts their
// lines into one order.
type pipe struct {
	w    *os.File
	done chan struct{}

	mu   sync.Mutex
	dead map[string]chan struct{} // by who: closed when all it said is recorded
}

// bury says that a child is dead, and waits until all that it has said is recorded:
// what others say in this process must not come before.
func (p *pipe) bury(who string) {
	heard := make(chan struct{})
	p.mu.Lock()
	if p.dead == nil {
		p.dead = map[string]chan struct{}{}
	}
	p.dead[who] = heard
	p.mu.Unlock()
	p.say(said{What: "dead", Who: who})
	select {
	case <-heard:
	case <-p.done:
	}
}

// buried notes that a child's death is recorded.
func (p *pipe) buried(who string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if heard := p.dead[who]; heard != nil {
		close(heard)
		delete(p.dead, who)
	}
}

func (p *pipe) say(s said) {
	line, _ := json.Marshal(s) // texts
	_, _ = p.w.Write(append(line, '\n'))
}

// close ends the pipe when all that was written is recorded.
func (p *pipe) close() {
	_ = p.w.Close()
	<-p.done
}

// listen makes the pipe and records what comes.
func (e *env) listen() {
	e.Helper()
	if e.pipe.Load() != nil {
		return
	}
	r, w, err := os.Pipe()
	require.NoError(e, err)
	p := &pipe{w: w, done: make(chan struct{})}
	e.pipe.Store(p)
	go func() {
		defer close(p.done)
		defer r.Close()
		lines := bufio.NewReader(r)
		for {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				return
			}
			var s said
			if err := json.Unmarshal(line, &s); err != nil {
				e.record.broken(fmt.Sprintf("a child said %q", line))
				continue
			}
			switch s.What {
			case "begin":
				e.record.begin(s.Who, s.To, s.Key, s.ID)
			case "end", "failed":
				e.record.finish(s.Who, s.To, s.Key, s.ID, s.What == "end")
			case "dead":
				e.record.dead(s.Who)
				p.buried(s.Who)
			}
		}
	}()
}

// note records what a relay of this process says. Where there are children it goes
// their way: what a child said before must be recorded before.
func (e *env) note(s said) {
	p := e.pipe.Load()
	switch {
	case p != nil:
		p.say(s)
	case s.What == "begin":
		e.record.begin(s.Who, s.To, s.Key, s.ID)
	default:
		e.record.finish(s.Who, s.To, s.Key, s.ID, s.What == "end")
	}
}

// broken notes that the test itself went wrong.
func (r *record) broken(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrong = append(r.wrong, what)
}

// A child is a relay in a process of its own.
type child struct {
	e     *env
	who   string
	cmd   *exec.Cmd
	stdin io.Closer
	once  sync.Once
}

// child starts a relay as a process; each of its deliveries takes a while.
func (e *env) child(work time.Duration) *child {
	e.Helper()
	e.listen()
	c := childConfig{Kind: e.kind, DSN: e.dsn, Who: e.name(), Lease: e.lease, Work: work, Concurrency: 4}
	for _, d := range e.destinations {
		c.Destinations, c.Orders = append(c.Destinations, d.Name), append(c.Orders, d.Order)
	}
	text, err := json.Marshal(c)
	require.NoError(e, err)
	p := &child{e: e, who: c.Who, cmd: exec.Command(os.Args[0], "-test.run=^$")}
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	p.cmd.ExtraFiles = []*os.File{e.pipe.Load().w}
	p.cmd.Stderr = os.Stderr
	p.stdin, err = p.cmd.StdinPipe()
	require.NoError(e, err)
	require.NoError(e, p.cmd.Start())
	e.procs = append(e.procs, p)
	return p
}

// kill ends it as a crash does.
func (c *child) kill() { c.finish(syscall.SIGKILL) }

// stop ends it as an operator does.
func (c *child) stop() { c.finish(syscall.SIGTERM) }

func (c *child) finish(sig syscall.Signal) {
	c.once.Do(func() {
		_ = c.cmd.Process.Signal(sig) // it may be gone
		_ = c.cmd.Wait()              // by a signal, mostly
		_ = c.stdin.Close()
		c.e.pipe.Load().bury(c.who)
	})
}

// freeze stops its clock, as a machine that is suspended does. What it has under
// way is given up: a successor may deliver it meanwhile.
//
// On MariaDB it is frozen outside of transactions: nothing ends one there, and its
// locks, while its process stands still, which docs/guarantees.md says.
func (c *child) freeze() {
	c.e.until("the process stands still and holds no locks", func() bool {
		_ = c.cmd.Process.Signal(syscall.SIGSTOP)
		c.e.until("all threads of the process stand still", func() bool { return stopped(c.cmd.Process.Pid) })
		if c.e.kind != mariadb || c.e.unlocked() {
			return true
		}
		c.thaw()
		time.Sleep(7 * time.Millisecond) // let it get out of the transaction
		return false
	})
	c.e.pipe.Load().bury(c.who)
}

// unlocked reports whether no transaction is open in the database, once the server has
// had time to end what it was doing. It makes the list anew only where nobody has read
// it for a tenth of a second.
func (e *env) unlocked() bool {
	time.Sleep(150 * time.Millisecond)
	return e.number(`SELECT count(*) FROM information_schema.innodb_trx t JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id WHERE p.db = database()`) == 0
}

// stopped reports whether no thread of a process runs: the signal takes effect in
// each of them on its own.
func stopped(pid int) bool {
	stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			return false
		}
		// The state follows the name, which is in parentheses; see proc(5).
		_, after, _ := strings.Cut(string(text), ") ")
		if !strings.HasPrefix(after, "T") {
			return false
		}
	}
	return true
}

// thaw lets it go on.
func (c *child) thaw() { _ = c.cmd.Process.Signal(syscall.SIGCONT) }

// childRelay is the process: a relay until SIGTERM, or until its parent is gone.
func childRelay(text string) error {
	var c childConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	out := &pipe{w: os.NewFile(3, "pipe")}
	db, dialect, err := connect(c.Kind, c.DSN, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	handler := outbox.HandlerFunc(func(ctx context.Context, d outbox.Delivery) error {
		if err := ctx.Err(); err != nil {
			return err // it was frozen before it came here
		}
		out.say(said{"begin", c.Who, d.To, d.Key, d.ID})
		time.Sleep(c.Work)
		out.say(said{"end", c.Who, d.To, d.Key, d.ID})
		return nil
	})
	alerts, err := alert.New(alert.Config{AllowSilence: true})
	if err != nil {
		return err
	}
	config := outbox.Config{
		Store: sqlstore.New(db, dialect), Alerts: alerts, Observer: quiet{}, Lease: c.Lease, PollMax: 20 * time.Millisecond,
	}
	for i, name := range c.Destinations {
		d := outbox.Destination{Name: name, Order: c.Orders[i], Handler: handler}
		if d.Order != outbox.Serial {
			d.Concurrency = c.Concurrency
		}
		config.Destinations = append(config.Destinations, d)
	}
	q, err := outbox.New(config)
	if err != nil {
		return err
	}
	return q.Run(ctx)
}
