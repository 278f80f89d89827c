package telemetry

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"

	"github.com/tectari/dovetail"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// scope is the name of the instrumentation.
const scope = "github.com/tectari/dovetail"

// A Config sets up an Observer. The zero value uses OpenTelemetry's globals.
type Config struct {
	// Tracer makes the spans. Defaults to otel.GetTracerProvider().
	Tracer trace.TracerProvider
	// Meter makes the metrics. Defaults to otel.GetMeterProvider().
	Meter metric.MeterProvider
	// WithKeys puts the keys and references of records and messages into spans.
	// Set it where they are no personal data. Defaults to false.
	WithKeys bool
	// WithErrors puts the texts of errors and reasons into spans. Set it where
	// endpoints put no personal data into their errors. Defaults to false.
	WithErrors bool
}

// An Observer is a dovetail.Observer on OpenTelemetry. Make one with New. It is
// safe for concurrent use.
type Observer struct {
	config   Config
	tracer   trace.Tracer
	duration metric.Float64Histogram
	events   metric.Int64Counter
	labels   *labels
	headers  propagation.TraceContext
}

var _ dovetail.Observer = (*Observer)(nil)

// New returns an observer, or the errors of the meter that refuses an
// instrument.
func New(c Config) (*Observer, error) {
	if c.Tracer == nil {
		c.Tracer = otel.GetTracerProvider()
	}
	if c.Meter == nil {
		c.Meter = otel.GetMeterProvider()
	}
	meter := c.Meter.Meter(scope)
	duration, err1 := meter.Float64Histogram("dovetail.operation.duration", metric.WithUnit("s"),
		metric.WithDescription("How long operations took, by name, place, outcome and class of failure."),
		metric.WithExplicitBucketBoundaries(0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60))
	events, err2 := meter.Int64Counter("dovetail.events", metric.WithUnit("{event}"),
		metric.WithDescription("What happened, by name, place, outcome and class of failure."))
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	return &Observer{config: c, tracer: c.Tracer.Tracer(scope), duration: duration, events: events, labels: newLabels()}, nil
}

// operation is a span under way, carried by the context from Start to Record.
type operation struct {
	name  string
	span  trace.Span
	ended atomic.Bool
}

type operationKey struct{}

// enqueues reports whether the operation hands a message on.
func enqueues(e dovetail.Event) bool { return strings.HasSuffix(e.Name, ".enqueue") }

// delivers reports whether the operation works on a message that was handed on.
func delivers(e dovetail.Event) bool { return e.Message != "" && !enqueues(e) }

// Start begins a span and returns a context that carries it. Where a message is
// handed on, it puts the trace context into e.Headers; where one is worked on, it
// links the span to the trace found there.
func (o *Observer) Start(ctx context.Context, e dovetail.Event) context.Context {
	kind := trace.SpanKindInternal
	switch {
	case enqueues(e):
		kind = trace.SpanKindProducer
	case delivers(e):
		kind = trace.SpanKindConsumer
	}
	opts := []trace.SpanStartOption{trace.WithSpanKind(kind), trace.WithAttributes(o.attributes(e)...)}
	if !e.Time.IsZero() {
		opts = append(opts, trace.WithTimestamp(e.Time))
	}
	if from := o.remote(e.Headers); from.IsValid() {
		opts = append(opts, trace.WithLinks(trace.Link{SpanContext: from}))
	}
	ctx, span := o.tracer.Start(ctx, spanName(e), opts...)
	if enqueues(e) && e.Headers != nil {
		o.headers.Inject(ctx, propagation.MapCarrier(e.Headers))
	}
	return context.WithValue(ctx, operationKey{}, &operation{name: e.Name, span: span})
}

// remote returns the span context in headers; an invalid one if there is none.
func (o *Observer) remote(headers map[string]string) trace.SpanContext {
	if len(headers) == 0 {
		return trace.SpanContext{}
	}
	// An empty context, so that a span of ours is never taken for the remote one.
	return trace.SpanContextFromContext(o.headers.Extract(context.Background(), propagation.MapCarrier(headers)))
}

// Record ends the span that Start began, or notes an event of an instant on the
// span of the context. Both are counted.
func (o *Observer) Record(ctx context.Context, e dovetail.Event) {
	attrs := o.measured(e)
	o.events.Add(ctx, max(e.Count, 1), attrs)
	op, _ := ctx.Value(operationKey{}).(*operation)
	if op != nil && op.name == e.Name && op.ended.CompareAndSwap(false, true) {
		o.duration.Record(ctx, e.Duration.Seconds(), attrs)
		o.end(op.span, e)
		return
	}
	if e.Duration > 0 {
		o.duration.Record(ctx, e.Duration.Seconds(), attrs)
	}
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		opts := []trace.EventOption{trace.WithAttributes(append(o.attributes(e), o.outcome(e)...)...)}
		if !e.Time.IsZero() {
			opts = append(opts, trace.WithTimestamp(e.Time))
		}
		span.AddEvent(e.Name, opts...)
	}
}

func (o *Observer) end(span trace.Span, e dovetail.Event) {
	span.SetAttributes(o.outcome(e)...)
	if e.Err != nil {
		description := e.Class.String()
		if o.config.WithErrors {
			description = e.Err.Error()
		}
		span.SetStatus(codes.Error, description)
	}
	if e.Time.IsZero() || e.Duration <= 0 {
		span.End()
		return
	}
	span.End(trace.WithTimestamp(e.Time.Add(e.Duration)))
}

// spanName is the name of the event and its place, both low in cardinality.
func spanName(e dovetail.Event) string {
	switch {
	case e.Destination != "":
		return e.Name + " " + e.Destination
	case e.System != "":
		return e.Name + " " + string(e.System)
	}
	return e.Name
}

// attributes says of a span where it is and what it is about.
func (o *Observer) attributes(e dovetail.Event) []attribute.KeyValue {
	attrs := make([]attribute.KeyValue, 0, 10)
	add := func(key, value string) {
		if value != "" {
			attrs = append(attrs, attribute.String(key, value))
		}
	}
	add("dovetail.link", e.Link)
	add("dovetail.system", string(e.System))
	add("dovetail.field", e.Field)
	switch {
	case enqueues(e):
		add("messaging.system", "dovetail")
		add("messaging.operation.type", "send")
		add("messaging.destination.name", e.Destination)
	case delivers(e):
		add("messaging.system", "dovetail")
		add("messaging.operation.type", "process")
		add("messaging.destination.name", e.Destination)
	default:
		add("dovetail.destination", e.Destination)
	}
	if e.Attempt > 0 {
		attrs = append(attrs, attribute.Int("dovetail.attempt", e.Attempt))
	}
	if o.config.WithKeys {
		add("messaging.message.id", e.Message)
		add("dovetail.key", e.Key)
		if !e.Ref.IsZero() {
			add("dovetail.ref", e.Ref.String())
		}
	}
	return attrs
}

// outcome says of a span how it ended.
func (o *Observer) outcome(e dovetail.Event) []attribute.KeyValue {
	var attrs []attribute.KeyValue
	if e.Outcome != "" {
		attrs = append(attrs, attribute.String("dovetail.outcome", e.Outcome))
	}
	if e.Count > 0 {
		attrs = append(attrs, attribute.Int64("dovetail.count", e.Count))
	}
	if e.Err != nil {
		attrs = append(attrs, attribute.String("error.type", e.Class.String()))
	}
	if o.config.WithErrors {
		if e.Why != "" {
			attrs = append(attrs, attribute.String("dovetail.why", e.Why))
		}
		if e.Err != nil {
			attrs = append(attrs, attribute.String("exception.message", e.Err.Error()))
		}
	}
	return attrs
}
