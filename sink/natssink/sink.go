package natssink

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
)

// A Config sets up a Sink.
type Config struct {
	// JetStream publishes the messages. Its connection must reconnect for ever,
	// nats.MaxReconnects(-1), or New refuses it: the default gives up after two
	// minutes, and the queue would never hear of the server again. Required.
	JetStream jetstream.JetStream
	// Stream is the stream that keeps the messages. A subject that another stream
	// takes is refused. Required.
	Stream string
	// Subject returns the subject of a message. Defaults to the message's topic.
	Subject func(m outbox.Message) string
	// Window is how long after its first publication a message may be published
	// again without being stored again: Check refuses a stream that forgets
	// sooner. Defaults to 2 minutes.
	Window time.Duration
	// Timeout bounds the wait for an acknowledgement. Defaults to 5 seconds.
	Timeout time.Duration
	// AllowServerHeaders lets headers through whose names begin with "Nats-".
	// The server acts on them: Nats-Rollup deletes what the stream holds.
	// Defaults to refusing a message that has one.
	AllowServerHeaders bool
}

// A Sink publishes messages to a stream. Make one with New; the zero value is not
// usable. It is safe for concurrent use.
type Sink struct {
	config Config
}

// New returns a sink, or dovetail.Faults with everything that is wrong with c. It
// does no I/O and starts nothing.
func New(c Config) (*Sink, error) {
	faults := dovetail.Faults{Package: "natssink"}
	if c.JetStream == nil {
		faults.Add("NATS001", "Config.JetStream", "required", "jetstream.New(conn)")
	} else if conn := c.JetStream.Conn(); conn == nil || !conn.Opts.AllowReconnect || conn.Opts.MaxReconnect >= 0 {
		faults.Add("NATS002", "Config.JetStream", "its connection gives up for good when the server is away for long", "nats.Connect(url, nats.MaxReconnects(-1))")
	}
	if c.Stream == "" {
		faults.Add("NATS003", "Config.Stream", "required", `the stream that keeps the messages: "ORDERS"`)
	}
	if c.Window < 0 || c.Timeout < 0 {
		faults.Add("NATS004", "Config.Window, Timeout", "negative", "leave them zero for 2 minutes and 5 seconds")
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	if c.Subject == nil {
		c.Subject = func(m outbox.Message) string { return m.Topic }
	}
	if c.Window == 0 {
		c.Window = 2 * time.Minute
	}
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	return &Sink{config: c}, nil
}

// Handle publishes a message and waits until the stream has acknowledged it. What
// its errors mean is said in the package comment.
func (s *Sink) Handle(ctx context.Context, d outbox.Delivery) error {
	msg, err := s.message(d.Message)
	if err != nil {
		return err
	}
	if err := s.publish(ctx, msg); err != nil {
		return s.failure(ctx, msg.Subject, err)
	}
	return nil
}

// publish hands msg to the client and waits for the acknowledgement, but not
// beyond the end of the connection: one that is under way then is lost.
func (s *Sink) publish(ctx context.Context, msg *nats.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	conn := s.config.JetStream.Conn()
	lost := conn.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	var watcher sync.WaitGroup
	watcher.Go(func() {
		if _, ok := <-lost; ok {
			cancel()
		}
	})
	defer func() {
		conn.RemoveStatusListener(lost) // it closes lost
		watcher.Wait()
	}()
	// A client that is not connected keeps what it is given and sends it later,
	// when the queue may have gone on. So it is not given anything.
	if err := s.connected(); err != nil {
		return err
	}
	// The queue repeats, and knows when; the client shall not.
	_, err := s.config.JetStream.PublishMsg(ctx, msg, jetstream.WithExpectStream(s.config.Stream), jetstream.WithRetryAttempts(0))
	return err
}

var _ outbox.Handler = (*Sink)(nil)
