package dovetail

import (
	"context"
	"log/slog"
	"time"
)

// An Event is one thing that happened: an attempt, a decision, a failure. It
// carries no payload and no secret. Fields may be added; a consumer ignores what
// it does not know. An Event is a value and may be kept.
type Event struct {
	// Name says what happened, "package.noun": "outbox.delivery".
	Name string
	// Time is when it began.
	Time time.Time
	// Duration is how long it took; zero for an event of an instant.
	Duration time.Duration
	// Link, System and Destination say where; empty where they do not apply.
	Link        string
	System      System
	Destination string
	// Key is the record's or message's key, Ref the record in its system.
	Key string
	Ref Ref
	// Field is the field a decision was about.
	Field string
	// Message is the ID of the message that was worked on.
	Message string
	// Attempt counts from 1; zero if not an attempt.
	Attempt int
	// Outcome is low in cardinality: "delivered", "parked", "conflict".
	Outcome string
	// Why says the reason in words, without values of fields.
	Why string
	// Count is how many, where the event is about several.
	Count int64
	// Err is the failure, nil if none. Class is its class.
	Err   error
	Class Class
	// Headers carries the trace context across the queue.
	Headers map[string]string
}

// An Observer is told what the library does. Implementations must be safe for
// concurrent use, must not block, and must not panic; package telemetry has one
// for OpenTelemetry. Where a Config's Observer is nil, failures go to
// slog.Default, and nothing else is reported.
type Observer interface {
	// Start is called before an operation. The context it returns is passed to
	// the operation and to the Record call that ends it. For an operation that
	// hands on a trace, Start may set entries of e.Headers.
	Start(ctx context.Context, e Event) context.Context
	// Record is called when an operation that was started has ended, and for
	// each event of an instant.
	Record(ctx context.Context, e Event)
}

// ObserverOr returns o, or the observer that writes failures to slog.Default
// when o is nil.
func ObserverOr(o Observer) Observer {
	if o == nil {
		return failures{}
	}
	return o
}

// failures writes events that carry an error to slog.Default.
type failures struct{}

func (failures) Start(ctx context.Context, _ Event) context.Context { return ctx }

func (failures) Record(ctx context.Context, e Event) {
	if e.Err == nil {
		return
	}
	attrs := make([]slog.Attr, 0, 8)
	add := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	add("link", e.Link)
	add("system", string(e.System))
	add("destination", e.Destination)
	add("key", e.Key)
	if !e.Ref.IsZero() {
		add("ref", e.Ref.String())
	}
	add("field", e.Field)
	add("message", e.Message)
	if e.Attempt > 0 {
		attrs = append(attrs, slog.Int("attempt", e.Attempt))
	}
	add("outcome", e.Outcome)
	class := e.Class
	if class == Unclassified {
		class = Classify(e.Err)
	}
	add("class", class.String())
	add("why", e.Why)
	attrs = append(attrs, slog.String("error", e.Err.Error()))
	slog.LogAttrs(ctx, slog.LevelWarn, e.Name, attrs...)
}
