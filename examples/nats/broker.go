package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/tectari/dovetail/outbox"
)

// A broker is a NATS server inside this program.
type broker struct {
	dir    string
	url    string
	port   int
	server *server.Server
}

// start starts the server, the second time where it was and with what it stored.
func (b *broker) start() error {
	if b.port == 0 {
		b.port = server.RANDOM_PORT
	}
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: b.port, JetStream: true, StoreDir: b.dir, NoSigs: true})
	if err != nil {
		return err
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		return errors.New("the NATS server does not start")
	}
	b.server, b.url = s, s.ClientURL()
	if addr, ok := s.Addr().(*net.TCPAddr); ok {
		b.port = addr.Port
	}
	return nil
}

func (b *broker) stop() {
	b.server.Shutdown()
	b.server.WaitForShutdown()
}

// waitFor waits until the queue's one destination stands as it should.
func waitFor(ctx context.Context, queue *outbox.Queue, ok func(outbox.Lag) bool) (outbox.Lag, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		lags, err := queue.Lag(ctx)
		if err != nil {
			return outbox.Lag{}, err
		}
		if ok(lags[0]) {
			return lags[0], nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return outbox.Lag{}, fmt.Errorf("the queue does not get there: %+v", lags[0])
		}
	}
}
