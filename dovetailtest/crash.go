package dovetailtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// ErrCrashed is what every seam of a Crasher returns once its process is dead.
var ErrCrashed = errors.New("dovetailtest: the process is dead")

// ErrStruck is what a seam returns where FailBefore or LoseReply struck a
// database. An HTTP request fails as the network would fail it.
var ErrStruck = errors.New("dovetailtest: a fault was planned here")

// A Fault is what a Strike does to a side effect.
type Fault uint8

// The faults. Each stands for something that happens to real processes.
const (
	// DieBefore: the process dies; the effect did not happen.
	DieBefore Fault = iota + 1
	// DieAfter: the process dies; the effect happened.
	DieAfter
	// FailBefore: an error; the effect did not happen.
	FailBefore
	// LoseReply: an error; the effect happened.
	LoseReply
	// PauseBefore: the whole process stands still while Meanwhile runs, then it
	// goes on with the effect as if nothing were.
	PauseBefore
	// PauseAfter: the same, right after the effect.
	PauseAfter
	// ActBefore: somebody else acts, by Meanwhile; the process does not stand
	// still.
	ActBefore
	// ActAfter: the same, right after the effect.
	ActAfter
)

var faultNames = [...]string{"none", "die-before", "die-after", "fail-before", "lose-reply", "pause-before", "pause-after", "act-before", "act-after"}

// String returns the fault's name: "die-before".
func (f Fault) String() string {
	if int(f) < len(faultNames) {
		return faultNames[f]
	}
	return fmt.Sprintf("Fault(%d)", f)
}

// Deadly reports whether the process does not survive the fault.
func (f Fault) Deadly() bool { return f == DieBefore || f == DieAfter }

func (f Fault) after() bool {
	return f == DieAfter || f == LoseReply || f == PauseAfter || f == ActAfter
}

// A Strike is one fault at one effect: the Nth (from 1) of those with a label.
// An effect is addressed by label and occurrence, so that goroutines which run
// beside each other do not move its address. The zero value strikes nothing.
type Strike struct {
	Label string
	Nth   int
	Fault Fault
}

// String returns the strike as a test's name.
func (s Strike) String() string { return fmt.Sprintf("%s at %s #%d", s.Fault, s.Label, s.Nth) }

// Read reports whether the strike is at a read, which can only be refused.
func (s Strike) Read() bool { return isRead(s.Label) && !strings.HasPrefix(s.Label, "begin ") }

// CrashConfig sets up a Crasher.
type CrashConfig struct {
	// Strike is the fault to carry out. Defaults to none: effects are recorded.
	Strike Strike
	// Meanwhile is what happens at the pause and act faults: a successor that
	// runs to the end, a person's edit, a second delivery of a webhook. Required
	// for those.
	Meanwhile func()
	// Transparent lists functions that do not name an effect, as prefixes of
	// "package.Function": the label is their caller. Defaults to none; database/sql,
	// net/http and this project's stores are always transparent.
	Transparent []string
}

// A Crasher stands between one run of a program (a process, though it lives in
// the test's) and the world: its database (Connector) and its HTTP requests
// (Transport). It numbers every side effect and carries out one Strike. An effect
// is a COMMIT of a transaction that wrote, a statement outside a transaction that
// writes, or a request other than GET. Its label says what it is and which
// function did it: "commit sync.(*Link).begin", "POST /customers/{id}".
//
// Death is real for everything that goes through the seams: open transactions are
// rolled back, connections are closed, Context ends, and every later call returns
// ErrCrashed without effect. Code may still run, but can do nothing. (The
// goroutine that hit the point is not ended with runtime.Goexit: whoever waits
// for it would wait for ever, and a test in a synctest bubble would not end.)
//
// Make one with NewCrasher, for one run of the program; it is safe for concurrent
// use.
type Crasher struct {
	config CrashConfig
	ctx    context.Context //nolint:containedctx // the incarnation's, ended by its death
	cancel context.CancelFunc

	mu      sync.Mutex
	counts  map[string]int
	conns   map[*crashConn]bool
	dead    bool
	struck  bool
	frozen  chan struct{} // closed when the pause ends; nil: no pause
	open    int           // transactions
	effects int
}

// NewCrasher returns the seams of one run of a program.
func NewCrasher(c CrashConfig) *Crasher {
	ctx, cancel := context.WithCancel(context.Background())
	return &Crasher{config: c, ctx: ctx, cancel: cancel, counts: make(map[string]int), conns: make(map[*crashConn]bool)}
}

// Context returns the context to run the program with: it ends at death.
func (c *Crasher) Context() context.Context { return c.ctx }

// Struck reports whether the strike was carried out.
func (c *Crasher) Struck() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.struck
}

// Dead reports whether the process is dead.
func (c *Crasher) Dead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dead
}

// Effects counts the effects that happened or were struck so far: as long as the
// number stands still, the program is quiet.
func (c *Crasher) Effects() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.effects
}

// Labels returns how often each label came up, reads among them.
func (c *Crasher) Labels() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.counts)
}

// Strikes lists every fault at every point in labels, as Labels returned them
// after a run without a strike; of each label the first most occurrences (zero:
// all).
//
// Not every fault fits every point. A transaction keeps others out of what it
// read until its commit, so what strikes before it by letting others act strikes
// at its beginning, "begin …". A read is only ever refused.
func Strikes(labels map[string]int, most int) []Strike {
	var all []Strike
	for _, label := range slices.Sorted(maps.Keys(labels)) {
		n := labels[label]
		if most > 0 {
			n = min(n, most)
		}
		for nth := 1; nth <= n; nth++ {
			for _, f := range faultsAt(label, labels) {
				all = append(all, Strike{Label: label, Nth: nth, Fault: f})
			}
		}
	}
	return all
}

func faultsAt(label string, labels map[string]int) []Fault {
	kind, name, _ := strings.Cut(label, " ")
	switch kind {
	case "begin":
		if labels["commit "+name] == 0 {
			return nil // it never wrote
		}
		return []Fault{PauseBefore, ActBefore}
	case "commit":
		return []Fault{DieBefore, DieAfter, FailBefore, LoseReply, PauseAfter, ActAfter}
	case "query", "GET", "HEAD":
		return []Fault{FailBefore}
	default:
		return []Fault{DieBefore, DieAfter, FailBefore, LoseReply, PauseBefore, PauseAfter, ActBefore, ActAfter}
	}
}

// Kill ends the process here and now, as a power cut would.
func (c *Crasher) Kill() {
	c.mu.Lock()
	c.dead = true
	conns := slices.Collect(maps.Keys(c.conns))
	if c.frozen != nil {
		close(c.frozen)
		c.frozen = nil
	}
	c.mu.Unlock()
	c.cancel()
	// A connection in use may be waiting for a lock that another one holds: those
	// that can be closed at once go first.
	var busy []*crashConn
	for _, k := range conns {
		if !k.tryCut() {
			busy = append(busy, k)
		}
	}
	for _, k := range busy {
		k.cut()
	}
}

// gate lets a call through, holds it while the process stands still, or refuses
// it.
func (c *Crasher) gate() error {
	for {
		c.mu.Lock()
		dead, frozen := c.dead, c.frozen
		c.mu.Unlock()
		switch {
		case dead:
			return ErrCrashed
		case frozen == nil:
			return nil
		}
		<-frozen
	}
}

// count gives an occurrence of a label its number.
func (c *Crasher) count(label string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[label]++
	return c.counts[label]
}

// at carries out the strike if it is planned for this side of this occurrence. It
// returns ErrCrashed or ErrStruck where the caller is not to go on as if nothing
// were.
func (c *Crasher) at(label string, nth int, after bool) error {
	if strings.HasPrefix(label, "commit ") && !after {
		// A pause waits for the transactions under way, so it does not hold them.
		if c.Dead() {
			return ErrCrashed
		}
	} else if err := c.gate(); err != nil {
		return err
	}
	s := c.config.Strike
	c.mu.Lock()
	if !after && !isRead(label) {
		c.effects++
	}
	hit := !c.struck && s.Label == label && s.Nth == nth && s.Fault != 0 && s.Fault.after() == after
	c.struck = c.struck || hit
	c.mu.Unlock()
	if !hit {
		return nil
	}
	switch s.Fault {
	case DieBefore, DieAfter:
		c.Kill()
		return ErrCrashed
	case FailBefore, LoseReply:
		return fmt.Errorf("%w: %s", ErrStruck, s)
	case PauseBefore, PauseAfter:
		c.pause()
		return nil
	default:
		c.config.Meanwhile()
		return nil
	}
}

// pause holds the whole process while Meanwhile runs. Transactions under way end
// first: a frozen one would keep its locks, and the database waits for no process
// that long without cutting it off.
func (c *Crasher) pause() {
	frozen := make(chan struct{})
	c.mu.Lock()
	c.frozen = frozen
	c.mu.Unlock()
	for range 1000 {
		c.mu.Lock()
		open := c.open
		c.mu.Unlock()
		if open == 0 {
			break
		}
		timer := time.NewTimer(time.Millisecond)
		<-timer.C
	}
	c.config.Meanwhile()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.frozen == frozen {
		close(frozen)
		c.frozen = nil
	}
}

func (c *Crasher) opened(by int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open += by
}

func isRead(label string) bool {
	return strings.HasPrefix(label, "query ") || strings.HasPrefix(label, "GET ") || strings.HasPrefix(label, "HEAD ") || strings.HasPrefix(label, "begin ")
}

var alwaysTransparent = []string{"sql.", "http.", "runtime.", "dovetailtest.", "sqlstore.", "memstore."}

// caller names the function that an effect belongs to.
func (c *Crasher) caller() string {
	pcs := make([]uintptr, 40)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	outermost := "unknown"
	for {
		f, more := frames.Next()
		name := trimFunction(f.Function)
		if !hasPrefix(name, alwaysTransparent) && !hasPrefix(name, c.config.Transparent) {
			return name
		}
		if !strings.HasPrefix(name, "runtime.") {
			outermost = name
		}
		if !more {
			return outermost
		}
	}
}

func hasPrefix(name string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// trimFunction turns "host/module/pkg.(*T[...]).M.func1.2" into "pkg.(*T).M".
func trimFunction(name string) string {
	name = strings.ReplaceAll(name, "[...]", "")
	name = name[strings.LastIndexByte(name, '/')+1:]
	name, _, _ = strings.Cut(name, ".func")
	name, _, _ = strings.Cut(name, ".gowrap")
	return strings.TrimSuffix(name, "-fm")
}
