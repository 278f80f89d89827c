package server

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// Listener serves a handler on one loopback port, and can go down and come
// back on the same port.
type Listener struct {
	handler http.Handler
	addr    string

	mu     sync.Mutex
	server *http.Server
	served chan struct{}
}

// Listen starts to serve handler on a free port.
func Listen(handler http.Handler) (*Listener, error) {
	l := &Listener{handler: handler}
	var err error
	for range 50 {
		// Below the range from which outgoing connections take their ports, or
		// one of them could sit on ours while we are down.
		l.addr = fmt.Sprintf("127.0.0.1:%d", 18000+rand.IntN(12000))
		if err = l.Up(); err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("listen on loopback: %w", err)
}

// URL returns the address for clients.
func (l *Listener) URL() string { return "http://" + l.addr }

// Up listens again. It does nothing when the listener is up.
func (l *Listener) Up() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.server != nil {
		return nil
	}
	socket, err := net.Listen("tcp", l.addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", l.addr, err)
	}
	server := &http.Server{Handler: l.handler, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan struct{})
	l.server, l.served = server, served
	go func() {
		defer close(served)
		_ = server.Serve(socket) // always ErrServerClosed, from Down
	}()
	return nil
}

// Down refuses connections and cuts the open ones.
func (l *Listener) Down() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.server == nil {
		return nil
	}
	err := l.server.Close()
	<-l.served
	l.server = nil
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
