package outboxtest

import (
	"net"
	"net/url"
	"sync"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"
)

// A proxy carries the bytes between a pool and a server, or does not.
type proxy struct {
	listener net.Listener
	upstream string
	network  string

	mu      sync.Mutex
	conns   map[net.Conn]bool
	refuses bool
	gate    *gate // of new connections
	stalled []*gate
}

// A gate lets bytes pass, or holds them.
type gate struct {
	mu   sync.Mutex
	open chan struct{} // closed: they pass
}

func newGate() *gate {
	g := &gate{open: make(chan struct{})}
	close(g.open)
	return g
}

// shut holds what comes from now on.
func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = make(chan struct{})
}

// pass lets through what was held.
func (g *gate) pass() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.open:
	default:
		close(g.open)
	}
}

// wait waits until the gate is open.
func (g *gate) wait() {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	<-open
}

// proxied puts a proxy before the database of the env and makes the store use it.
func (e *env) proxied() *proxy {
	e.Helper()
	p := &proxy{network: "tcp", conns: map[net.Conn]bool{}, gate: newGate()}
	var err error
	p.listener, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(e, err)
	at := p.listener.Addr().String()
	var dsn string
	if e.kind == postgres {
		u, err := url.Parse(e.dsn)
		require.NoError(e, err)
		p.upstream, u.Host = u.Host, at
		dsn = u.String()
	} else {
		c, err := mysql.ParseDSN(e.dsn)
		require.NoError(e, err)
		p.network, p.upstream = c.Net, c.Addr
		c.Net, c.Addr = "tcp", at
		dsn = c.FormatDSN()
	}
	go p.accept()
	e.Cleanup(func() {
		_ = p.listener.Close()
		p.pass()
		p.cut()
	})
	e.store = e.open(dsn, e.tap)
	e.keeper = e.store
	return p
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		refuses := p.refuses
		p.mu.Unlock()
		server, err := net.Dial(p.network, p.upstream)
		if err != nil || refuses {
			_ = client.Close()
			if err == nil {
				_ = server.Close()
			}
			continue
		}
		p.mu.Lock()
		p.conns[client], p.conns[server] = true, true
		g := p.gate
		p.mu.Unlock()
		go p.carry(client, server, g)
		go p.carry(server, client, g)
	}
}

// carry copies until one side is closed.
func (p *proxy) carry(from, to net.Conn, g *gate) {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, c := range []net.Conn{from, to} {
			_ = c.Close()
			delete(p.conns, c)
		}
	}()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		g.wait()
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// cut closes all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

// refuse makes the server unreachable, or reachable again.
func (p *proxy) refuse(yes bool) {
	p.mu.Lock()
	p.refuses = yes
	p.mu.Unlock()
	if yes {
		p.cut()
	}
}

// stall lets nothing through on the connections there are and closes none, as a
// network does that lost a route. New connections work.
func (p *proxy) stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gate.shut()
	p.stalled = append(p.stalled, p.gate)
	p.gate = newGate()
}

// pass ends all stalls.
func (p *proxy) pass() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range p.stalled {
		g.pass()
	}
}
