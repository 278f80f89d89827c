package amqpsink

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
)

// A Config sets up a Sink.
type Config struct {
	// URL says where the broker is and as whom to connect:
	// "amqps://user:password@host/vhost". It stands in no error. Required.
	URL string
	// Connection says more about how to connect: TLS, heartbeat, another SASL
	// mechanism. Its Recovery is not used; the sink reconnects by itself. Defaults
	// to what the client does.
	Connection amqp.Config
	// Exchange is where messages are published. Defaults to the broker's default
	// exchange, which takes the name of a queue as routing key.
	Exchange string
	// RoutingKey returns the routing key of a message. Defaults to its topic.
	RoutingKey func(m outbox.Message) string
	// ContentType says what the payloads are: "application/json". Defaults to
	// saying nothing.
	ContentType string
	// Timeout bounds the wait for a connection and for a confirmation. Defaults to
	// 5 seconds.
	Timeout time.Duration
}

// A Sink publishes messages to an exchange. Make one with New and Close it when
// the queue has ended; the zero value is not usable. It is safe for concurrent
// use.
type Sink struct {
	config Config
	turn   chan struct{} // who holds it may dial
	aside  int           // maxAside, but in a test

	mu     sync.Mutex
	link   *link
	closed bool
}

// New returns a sink, or dovetail.Faults with everything that is wrong with c. It
// does no I/O and starts nothing: the sink connects with its first message.
func New(c Config) (*Sink, error) {
	faults := dovetail.Faults{Package: "amqpsink"}
	if c.URL == "" {
		faults.Add("AMQP001", "Config.URL", "required", `"amqps://user:password@host/vhost"`)
	} else if _, err := amqp.ParseURI(c.URL); err != nil {
		// What the parser says repeats the URL, and with it the password.
		faults.Add("AMQP002", "Config.URL", "is not an AMQP URL", `"amqps://user:password@host/vhost", with the user and password percent-encoded`)
	}
	if len(c.Exchange) > maxShort {
		faults.Add("AMQP003", "Config.Exchange", "too long", fmt.Sprintf("at most %d bytes", maxShort))
	}
	if len(c.ContentType) > maxShort {
		faults.Add("AMQP004", "Config.ContentType", "too long", fmt.Sprintf("at most %d bytes", maxShort))
	}
	if c.Timeout < 0 {
		faults.Add("AMQP005", "Config.Timeout", "negative", "leave it zero for 5 seconds")
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	if c.RoutingKey == nil {
		c.RoutingKey = func(m outbox.Message) string { return m.Topic }
	}
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	c.Connection.Recovery = nil
	return &Sink{config: c, turn: make(chan struct{}, 1), aside: maxAside}, nil
}

// Handle publishes a message and waits until the broker has confirmed it. What its
// errors mean is said in the package comment.
func (s *Sink) Handle(ctx context.Context, d outbox.Delivery) error {
	p, err := s.publishing(d)
	if err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	l, err := s.connected(wait)
	if err != nil {
		return err
	}
	if most := l.conn.Config.FrameSize; most > 0 && p.size > most-64 {
		return s.fail(dovetail.Invalid, "header", "message %s: %d bytes of headers; the broker takes at most %d (frame_max)", d.ID, p.size, most)
	}
	return s.publish(wait, l, p)
}

// Check connects and asks the broker whether the exchange exists. It returns
// dovetail.Faults when it does not, or a dovetail.Error when the broker cannot be
// asked. Call it before the queue runs.
func (s *Sink) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	l, err := s.connected(ctx)
	if err != nil {
		return err
	}
	if s.config.Exchange == "" {
		return nil // the default exchange is always there
	}
	c, err := l.acquire(ctx, "", "")
	if err != nil {
		return s.ended(l, err)
	}
	defer context.AfterFunc(ctx, l.drop)() // the client waits for the answer without a limit
	err = c.ExchangeDeclarePassive(s.config.Exchange, amqp.ExchangeTopic, true, false, false, false, nil)
	if err == nil {
		l.release(c)
		return nil
	}
	if refusal, ok := errors.AsType[*amqp.Error](err); ok && refusal.Code == amqp.NotFound {
		faults := dovetail.Faults{Package: "amqpsink"}
		faults.Add("AMQP010", fmt.Sprintf("exchange %q", s.config.Exchange), "does not exist", "declare it, or name another in Config.Exchange")
		return faults.Err()
	}
	return s.ended(l, err)
}

// Close ends the connection. Messages that wait for their confirmation fail as
// Unavailable, and so do all later ones.
func (s *Sink) Close() error {
	s.mu.Lock()
	s.closed = true
	l := s.link
	s.link = nil
	s.mu.Unlock()
	if l == nil {
		return nil
	}
	return l.close(s.config.Timeout)
}

// connected returns the connection, and makes it if there is none.
func (s *Sink) connected(ctx context.Context) (*link, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, s.fail(dovetail.Unavailable, "connection", "the broker does not answer: %w", ctx.Err())
	}
	s.mu.Lock()
	l, closed := s.link, s.closed
	s.mu.Unlock()
	switch {
	case closed:
		return nil, s.fail(dovetail.Unavailable, "closed", "the sink was closed; close it after the queue has ended")
	case l != nil && !l.conn.IsClosed():
		return l, nil
	}
	l, err := dial(ctx, s.config, s.aside)
	if err != nil {
		return nil, s.refused(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		l.drop()
		return nil, s.fail(dovetail.Unavailable, "closed", "the sink was closed; close it after the queue has ended")
	}
	s.link = l
	return l, nil
}

// publish sends p, unless it is under way already, and waits for its confirmation.
func (s *Sink) publish(ctx context.Context, l *link, p publishing) error {
	if why, _ := l.blocking(); why != "" {
		return s.blocked(why)
	}
	c, err := l.acquire(ctx, p.MessageId, p.key)
	if err != nil {
		return s.ended(l, err)
	}
	if !c.busy {
		c.busy, c.id, c.key = true, p.MessageId, p.key
		const mandatory, immediate = true, false
		if err := c.PublishWithContext(ctx, s.config.Exchange, p.key, mandatory, immediate, p.Publishing); err != nil {
			return s.ended(l, err)
		}
	}
	for {
		why, changed := l.blocking()
		if why != "" {
			l.release(c)
			return s.blocked(why)
		}
		select {
		case confirmation, ok := <-c.confirms:
			if !ok {
				return s.ended(l, c.reason())
			}
			c.busy = false
			err := s.settled(c, confirmation)
			l.release(c)
			return err
		case <-changed:
		case <-ctx.Done():
			l.release(c)
			return s.fail(dovetail.Unavailable, "timeout", "message %s: no confirmation in time; it may have arrived, and the next attempt waits for it: %w", p.MessageId, ctx.Err())
		}
	}
}

// settled says what the broker's answer means.
func (s *Sink) settled(c *channel, confirmation amqp.Confirmation) error {
	// A message that no queue takes comes back before it is confirmed. The end of
	// the connection closes the list and returns nothing.
	select {
	case r, ok := <-c.returns:
		if !ok {
			break
		}
		return s.fail(dovetail.Permanent, "unroutable", "message %s: no queue of exchange %q takes the routing key %q (%d %s); bind one, or correct Config.RoutingKey", c.id, s.config.Exchange, c.key, r.ReplyCode, r.ReplyText)
	default:
	}
	if !confirmation.Ack {
		return s.fail(dovetail.Unavailable, "nack", "message %s: a queue refused it; it may be full (reject-publish)", c.id)
	}
	return nil
}

var _ outbox.Handler = (*Sink)(nil)
