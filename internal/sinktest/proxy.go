package sinktest

import (
	"net"
	"sync"
	"testing"
	"time"
)

// A Proxy stands between a client and a server, and makes the network between
// them bad. It is safe for concurrent use.
type Proxy struct {
	target   string
	listener net.Listener
	tasks    sync.WaitGroup

	mu      sync.Mutex
	conns   map[net.Conn]bool
	delay   time.Duration
	up      bool          // what the client sends is held
	down    bool          // what the server answers is held
	changed chan struct{} // closed when any of the above changes
	dialled int
	closed  bool
}

// NewProxy returns a proxy to the address of a server. It ends with the test.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{target: target, listener: l, conns: map[net.Conn]bool{}, changed: make(chan struct{})}
	p.tasks.Go(p.accept)
	t.Cleanup(func() {
		p.set(func() { p.closed = true })
		_ = l.Close() // accept ends with it
		p.Cut()
		p.tasks.Wait()
	})
	return p
}

// Addr returns the address that clients dial.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Dialled returns how many connections were made.
func (p *Proxy) Dialled() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dialled
}

// Delay holds every answer of the server up for d.
func (p *Proxy) Delay(d time.Duration) { p.set(func() { p.delay = d }) }

// Blackhole lets nothing through in either direction; connections stay open.
func (p *Proxy) Blackhole(on bool) { p.set(func() { p.up, p.down = on, on }) }

// HoldReplies lets nothing of what the server answers through. What is held when
// the connection is cut is lost.
func (p *Proxy) HoldReplies(on bool) { p.set(func() { p.down = on }) }

// Cut closes every connection.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close() // its pumps see it
	}
	clear(p.conns)
	p.wake()
}

func (p *Proxy) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	p.wake()
}

// wake lets the pumps look again. The caller holds the lock.
func (p *Proxy) wake() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close() // as a server that refuses
			continue
		}
		p.mu.Lock()
		if p.closed {
			_, _ = client.Close(), server.Close() // the test is over
			p.mu.Unlock()
			return
		}
		p.conns[client], p.conns[server] = true, true
		p.dialled++
		p.mu.Unlock()
		p.tasks.Go(func() { p.pump(server, client, true) })
		p.tasks.Go(func() { p.pump(client, server, false) })
	}
}

// pump copies from one side to the other until either is closed.
func (p *Proxy) pump(to, from net.Conn, up bool) {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, to)
		delete(p.conns, from)
		_, _ = to.Close(), from.Close() // one side's end is the other's
		p.wake()
	}()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if !p.pass(from, up) {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass waits until bytes may go on, and returns false when the connection is cut.
func (p *Proxy) pass(from net.Conn, up bool) bool {
	for {
		p.mu.Lock()
		changed, alive := p.changed, p.conns[from]
		held, delay := p.down, p.delay
		if up {
			held, delay = p.up, 0
		}
		p.mu.Unlock()
		if !alive {
			return false
		}
		if held {
			<-changed
			continue
		}
		if delay > 0 {
			<-time.After(delay)
		}
		return true
	}
}
