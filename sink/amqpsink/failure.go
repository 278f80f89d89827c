package amqpsink

import (
	"errors"
	"fmt"
	"strconv"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/tectari/dovetail"
)

// fail returns an error of the sink.
func (s *Sink) fail(class dovetail.Class, code, format string, args ...any) error {
	return &dovetail.Error{Fault: class, Op: fmt.Sprintf("publish to exchange %q", s.config.Exchange), Code: code, Err: fmt.Errorf(format, args...)}
}

// blocked returns the error of a broker that takes no messages.
func (s *Sink) blocked(why string) error {
	return s.fail(dovetail.Unavailable, "blocked", "the broker takes no messages now: %s", why)
}

// refused says what it means that no connection was made.
func (s *Sink) refused(err error) error {
	if refusal, ok := errors.AsType[*amqp.Error](err); ok && refusal.Code == amqp.AccessRefused {
		return s.fail(dovetail.Auth, strconv.Itoa(refusal.Code), "the broker refuses the user, the password or the virtual host of Config.URL: %w", err)
	}
	return s.fail(dovetail.Unavailable, "connection", "connect: %w", err)
}

// ended says what it means that a channel ended before the confirmation.
func (s *Sink) ended(l *link, err error) error {
	refusal, ok := errors.AsType[*amqp.Error](err)
	if !ok {
		return s.fail(dovetail.Unavailable, "connection", "the connection ended before the confirmation; the message may have arrived: %w", err)
	}
	code := strconv.Itoa(refusal.Code)
	if l.conn.IsClosed() {
		switch refusal.Code {
		case amqp.FrameError, amqp.SyntaxError, amqp.CommandInvalid, amqp.UnexpectedFrame, amqp.NotImplemented:
			// The client says this too, of a connection that just ends. If the
			// broker says it and it is this message's doing, waiting for the broker
			// would be for ever.
			if refusal.Server {
				return s.fail(dovetail.Transient, code, "the broker does not understand what it was sent: %w", err)
			}
		}
		return s.fail(dovetail.Unavailable, code, "the connection ended before the confirmation; the message may have arrived: %w", err)
	}
	switch refusal.Code {
	case amqp.NotFound:
		return s.fail(dovetail.Permanent, code, "the exchange does not exist; declare it, or name another in Config.Exchange: %w", err)
	case amqp.AccessRefused:
		return s.fail(dovetail.Auth, code, "the user may not publish to it: %w", err)
	case amqp.PreconditionFailed, amqp.ContentTooLarge:
		return s.fail(dovetail.Invalid, code, "the broker refuses the message: %w", err)
	default:
		return s.fail(dovetail.Unavailable, code, "the channel ended before the confirmation; the message may have arrived: %w", err)
	}
}
