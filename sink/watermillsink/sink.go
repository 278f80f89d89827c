package watermillsink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
)

// A Config sets up a Sink.
type Config struct {
	// Publisher publishes the messages. It must be synchronous: what it returned
	// nil for counts as delivered. Required.
	Publisher message.Publisher
	// Topic returns the topic of a message. Defaults to the message's topic.
	Topic func(m outbox.Message) string
	// KeyMetadata names the metadata that holds a message's key, for publishers
	// that choose a partition by it. Defaults to leaving the key out.
	KeyMetadata string
	// Class says what an error of the publisher means, or Unclassified to leave it
	// to the sink. Defaults to leaving all to the sink.
	Class func(err error) dovetail.Class
	// Timeout bounds the wait for the publisher. Defaults to 10 seconds.
	Timeout time.Duration
}

// A Sink publishes messages through a publisher. Make one with New; the zero value
// is not usable. It is safe for concurrent use.
type Sink struct {
	config Config
	flight flight
}

// New returns a sink, or dovetail.Faults with everything that is wrong with c. It
// does no I/O and starts nothing.
func New(c Config) (*Sink, error) {
	faults := dovetail.Faults{Package: "watermillsink"}
	if c.Publisher == nil {
		faults.Add("MILL001", "Config.Publisher", "required", "a message.Publisher of Watermill")
	}
	if c.Timeout < 0 {
		faults.Add("MILL002", "Config.Timeout", "negative", "leave it zero for 10 seconds")
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	if c.Topic == nil {
		c.Topic = func(m outbox.Message) string { return m.Topic }
	}
	if c.Class == nil {
		c.Class = func(error) dovetail.Class { return dovetail.Unclassified }
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	return &Sink{config: c, flight: flight{calls: map[identity]*call{}}}, nil
}

// Handle publishes a message and waits until the publisher has returned. What its
// errors mean is said in the package comment. It panics if the publisher does; the
// queue makes that an error.
func (s *Sink) Handle(ctx context.Context, d outbox.Delivery) error {
	topic := s.config.Topic(d.Message)
	if topic == "" {
		return s.fail(dovetail.Invalid, "topic", "message %s: no topic; it comes from Config.Topic or Message.Topic", d.ID)
	}
	if _, taken := d.Headers[s.config.KeyMetadata]; taken && s.config.KeyMetadata != "" {
		return s.fail(dovetail.Invalid, "header", "message %s: header %q holds the message's key; name it otherwise, or set Config.KeyMetadata", d.ID, s.config.KeyMetadata)
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	who := identity{topic: topic, key: d.Key, id: d.ID}
	for {
		c, began := s.flight.join(who, func() error {
			return s.config.Publisher.Publish(topic, s.message(ctx, d.Message))
		})
		select {
		case <-c.done:
			s.flight.forget(who, c)
			switch {
			case !began && !c.ok():
				continue // it failed after an earlier attempt had given it up
			case c.panicked != "":
				panic(c.panicked)
			default:
				return s.failure(d.ID, topic, c.err)
			}
		case <-ctx.Done():
			return s.fail(dovetail.Unavailable, "timeout", "message %s to topic %s: the publisher did not return in time; it may have published, and the next attempt waits for it: %w", d.ID, topic, ctx.Err())
		}
	}
}

// Wait returns once no call of the publisher is under way, or with the error of
// ctx. Call it after the queue has ended and the publisher was closed.
func (s *Sink) Wait(ctx context.Context) error { return s.flight.wait(ctx) }

// message returns m as Watermill carries it.
func (s *Sink) message(ctx context.Context, m outbox.Message) *message.Message {
	out := message.NewMessageWithContext(ctx, m.ID, m.Payload)
	for name, value := range m.Headers {
		out.Metadata.Set(name, value)
	}
	if s.config.KeyMetadata != "" {
		out.Metadata.Set(s.config.KeyMetadata, m.Key)
	}
	return out
}

// fail returns an error of the sink.
func (s *Sink) fail(class dovetail.Class, code, format string, args ...any) error {
	return &dovetail.Error{Fault: class, Op: "publish", Code: code, Err: fmt.Errorf(format, args...)}
}

// failure says what an error of the publisher means.
func (s *Sink) failure(id, topic string, err error) error {
	if err == nil {
		return nil
	}
	class, code := s.config.Class(err), "publisher"
	if class == dovetail.Unclassified && away(err) {
		class, code = dovetail.Unavailable, "connection"
	}
	if class == dovetail.Unclassified {
		class = dovetail.Classify(err)
	}
	if class == dovetail.Unclassified {
		class = dovetail.Transient
	}
	return s.fail(class, code, "message %s to topic %s: %w", id, topic, err)
}

// away reports whether err says that no broker was reached, or none in time.
func away(err error) bool {
	for _, sign := range []error{context.Canceled, context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed} {
		if errors.Is(err, sign) {
			return true
		}
	}
	_, ok := errors.AsType[net.Error](err)
	return ok
}

var _ outbox.Handler = (*Sink)(nil)
