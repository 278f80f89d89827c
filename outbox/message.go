package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// A Message is something to be delivered to one destination. It is a value; its
// Payload and Headers are not changed by the queue and must not be changed by the
// caller until Enqueue returns.
type Message struct {
	// ID identifies the message to its receiver, who can recognise a repetition
	// by it. Defaults to a UUIDv7.
	ID string
	// To is the name of the destination. Required.
	To string
	// Topic says what kind of message it is, for the handler. Optional.
	Topic string
	// Key is what order is kept by: messages of one key are delivered one after
	// the other. Without a key a message has no order.
	Key string
	// Payload is the content. The queue never looks into it.
	Payload []byte
	// Headers travel with the message; an Observer puts trace context there. Names
	// that begin with "dovetail-" are the queue's own.
	Headers map[string]string
	// DedupKey, if set, is remembered for Config.DedupFor: a second message with
	// the same one for the same destination is dropped without an error.
	DedupKey string
	// Due is when the message may be delivered at the earliest. A scheduled
	// message does not hold up others of its key. Defaults to at once.
	Due time.Time
}

// A Delivery is one attempt to deliver a message.
type Delivery struct {
	Message
	// Attempt counts from 1. Attempts that a destination's downtime prevented are
	// not counted.
	Attempt int
	// Enqueued is when the message was stored, by the database's clock.
	Enqueued time.Time
	// Replays counts how often a person sent the message again from the dead
	// letters.
	Replays int
}

// A Handler delivers messages. Its context ends when the time for the delivery is
// over; a handler that works on after that may meet its own successor. It is
// called by several goroutines at once, but never for two messages of one key.
// What its error means is said in the package comment.
type Handler interface {
	Handle(ctx context.Context, d Delivery) error
}

// A HandlerFunc is a function used as a Handler.
type HandlerFunc func(ctx context.Context, d Delivery) error

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, d Delivery) error { return f(ctx, d) }

// Errors of Enqueue and of the queue's operations.
var (
	// ErrUnknownDestination: Message.To names no destination of this queue.
	ErrUnknownDestination = errors.New("outbox: unknown destination")
	// ErrTooLarge: the payload and headers exceed Config.MaxBytes.
	ErrTooLarge = errors.New("outbox: message too large")
	// ErrInvalidMessage: a text of the message is not valid UTF-8, contains a NUL,
	// or is longer than 1,024 bytes; or the name of a header begins with
	// "dovetail-".
	ErrInvalidMessage = errors.New("outbox: invalid message")
	// ErrRunning: the call must come before Run, or Run runs already.
	ErrRunning = errors.New("outbox: queue is running")
	// ErrForeignTx is wrapped by a Store that is handed a transaction that it did
	// not make.
	ErrForeignTx = errors.New("outbox: transaction of another kind")
	// ErrLeaseLost is returned by Store.LeaseShards when the relay is not known
	// any more: others have taken over its shards.
	ErrLeaseLost = errors.New("outbox: lease lost")
	// ErrNoReason: an operation needs to know who does it, and why.
	ErrNoReason = errors.New("outbox: operation without who or why")
)

// maxText bounds the texts of a message other than its payload and headers.
const maxText = 1024

// A namedText is a text that is stored as it is.
type namedText struct{ name, text string }

// check returns why it cannot be stored.
func (t namedText) check() error {
	if len(t.text) > maxText || !utf8.ValidString(t.text) || strings.ContainsRune(t.text, 0) {
		return fmt.Errorf("%w: %s: want valid UTF-8 without NUL of at most %d bytes", ErrInvalidMessage, t.name, maxText)
	}
	return nil
}

// check returns why m cannot be stored.
func (m Message) check(maxBytes int) error {
	texts := [...]namedText{{"ID", m.ID}, {"Topic", m.Topic}, {"Key", m.Key}, {"DedupKey", m.DedupKey}}
	for _, t := range texts {
		if err := t.check(); err != nil {
			return err
		}
	}
	if err := checkHeaders(m.Headers); err != nil {
		return err
	}
	size := len(m.Payload)
	for k, v := range m.Headers {
		size += len(k) + len(v)
	}
	if size > maxBytes {
		return fmt.Errorf("%w: %d bytes, at most %d (Config.MaxBytes)", ErrTooLarge, size, maxBytes)
	}
	return nil
}

// A deferral is what Defer returns.
type deferral struct {
	after time.Duration
	why   string
}

func (d *deferral) Error() string { return "deferred: " + d.why }

// Defer returns what a handler returns to have this message alone wait: it is
// delivered again after the given time. No attempt is burnt and it is not a
// failure. Messages of the same key wait behind it where the destination keeps
// order. A wait of less than a millisecond becomes one.
func Defer(after time.Duration, why string) error {
	return &deferral{after: max(after, time.Millisecond), why: why}
}
