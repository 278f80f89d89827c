package telemetry

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tectari/dovetail"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	mnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tnoop "go.opentelemetry.io/otel/trace/noop"
)

// tracing is a TracerProvider and Tracer that keeps its spans.
type tracing struct {
	tnoop.TracerProvider
	mu    sync.Mutex
	spans []*span
}

type tracer struct {
	tnoop.Tracer
	in *tracing
}

type span struct {
	tnoop.Span
	name   string
	config trace.SpanConfig
	parent trace.SpanContext
	sc     trace.SpanContext
	attrs  []attribute.KeyValue
	events []string
	status codes.Code
	why    string
	ends   int
	end    time.Time
}

func (t *tracing) Tracer(string, ...trace.TracerOption) trace.Tracer { return &tracer{in: t} }

func (t *tracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	t.in.mu.Lock()
	defer t.in.mu.Unlock()
	s := &span{name: name, config: trace.NewSpanStartConfig(opts...), parent: trace.SpanContextFromContext(ctx)}
	s.attrs = s.config.Attributes()
	id := uint64(len(t.in.spans) + 1)
	var tid trace.TraceID
	var sid trace.SpanID
	binary.BigEndian.PutUint64(tid[:8], id)
	binary.BigEndian.PutUint64(sid[:], id)
	if s.parent.IsValid() {
		tid = s.parent.TraceID()
	}
	s.sc = trace.NewSpanContext(trace.SpanContextConfig{TraceID: tid, SpanID: sid, TraceFlags: trace.FlagsSampled})
	t.in.spans = append(t.in.spans, s)
	return trace.ContextWithSpan(ctx, s), s
}

func (s *span) SpanContext() trace.SpanContext               { return s.sc }
func (s *span) IsRecording() bool                            { return s.ends == 0 }
func (s *span) SetAttributes(kv ...attribute.KeyValue)       { s.attrs = append(s.attrs, kv...) }
func (s *span) AddEvent(name string, _ ...trace.EventOption) { s.events = append(s.events, name) }
func (s *span) SetStatus(c codes.Code, why string)           { s.status, s.why = c, why }
func (s *span) End(opts ...trace.SpanEndOption) {
	s.ends++
	c := trace.NewSpanEndConfig(opts...)
	s.end = c.Timestamp()
}

// metering keeps what its instruments are given.
type metering struct {
	mnoop.MeterProvider
	mu     sync.Mutex
	series map[attribute.Set]int64
	fail   error
}

func (m *metering) Meter(string, ...metric.MeterOption) metric.Meter { return meter{m: m} }

type meter struct {
	mnoop.Meter
	m *metering
}

func (m meter) Int64Counter(string, ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return counter{m: m.m}, m.m.fail
}

type counter struct {
	mnoop.Int64Counter
	m *metering
}

func (c counter) Add(_ context.Context, n int64, opts ...metric.AddOption) {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	c.m.series[metric.NewAddConfig(opts).Attributes()] += n
}

func setup(t *testing.T, c Config) (*Observer, *tracing, *metering) {
	t.Helper()
	tr, m := &tracing{}, &metering{series: map[attribute.Set]int64{}}
	c.Tracer, c.Meter = tr, m
	o, err := New(c)
	require.NoError(t, err)
	return o, tr, m
}

var began = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

func TestDeliveryIsLinkedToItsEnqueue(t *testing.T) {
	t.Parallel()
	o, tr, _ := setup(t, Config{})
	headers := map[string]string{}
	e := dovetail.Event{Name: "outbox.enqueue", Destination: "billing", Message: "m-1", Headers: headers}
	ctx := o.Start(t.Context(), e)
	o.Record(ctx, e)
	require.Contains(t, headers, "traceparent")

	// Another process, days later.
	other, tr2, _ := setup(t, Config{})
	d := dovetail.Event{Name: "outbox.delivery", Destination: "billing", Message: "m-1", Attempt: 2, Headers: headers}
	other.Record(other.Start(t.Context(), d), d)
	require.Equal(t, trace.SpanKindProducer, tr.spans[0].config.SpanKind())
	require.Equal(t, trace.SpanKindConsumer, tr2.spans[0].config.SpanKind())
	links := tr2.spans[0].config.Links()
	require.Len(t, links, 1)
	require.Equal(t, tr.spans[0].sc.TraceID(), links[0].SpanContext.TraceID())
	require.Equal(t, tr.spans[0].sc.SpanID(), links[0].SpanContext.SpanID())
	require.False(t, tr2.spans[0].parent.IsValid(), "linked, not a child: the wait is no part of the work")
	require.Equal(t, tr.spans[0].sc.SpanID().String(), headers["traceparent"][36:52], "a delivery leaves the headers alone")
}

func TestEveryOperationIsOneSpanEndedOnce(t *testing.T) {
	t.Parallel()
	o, tr, _ := setup(t, Config{})
	e := dovetail.Event{Name: "sync.poll", System: "crm", Time: began}
	ctx := o.Start(t.Context(), e)
	inner := dovetail.Event{Name: "sync.write", System: "billing"}
	ictx := o.Start(ctx, inner)
	o.Record(ictx, dovetail.Event{Name: "sync.trespass", Field: "email"})
	o.Record(ictx, inner)
	e.Duration, e.Err, e.Class = time.Second, errors.New("down"), dovetail.Unavailable
	o.Record(ctx, e)
	o.Record(ctx, e)
	require.Len(t, tr.spans, 2)
	for _, s := range tr.spans {
		require.Equal(t, 1, s.ends, s.name)
	}
	require.Equal(t, "sync.poll crm", tr.spans[0].name)
	require.Equal(t, began.Add(time.Second), tr.spans[0].end)
	require.Equal(t, codes.Error, tr.spans[0].status)
	require.Contains(t, tr.spans[0].attrs, attribute.String("error.type", "unavailable"))
	require.Equal(t, []string{"sync.trespass"}, tr.spans[1].events)
	require.Equal(t, tr.spans[0].sc, tr.spans[1].parent)
}

func TestNothingPrivateUnlessAsked(t *testing.T) {
	t.Parallel()
	const secret = "ann@example.org"
	e := dovetail.Event{Name: "outbox.delivery", Destination: "billing", Key: secret, Message: secret, Ref: dovetail.Ref{System: "crm", ID: secret},
		Why: secret, Err: errors.New(secret), Class: dovetail.Invalid, Headers: map[string]string{"x": secret}, Duration: time.Second}
	show := func(c Config) string {
		o, tr, m := setup(t, c)
		o.Record(o.Start(t.Context(), e), e)
		o.Record(t.Context(), e)
		for set := range m.series {
			require.NotContains(t, set.Encoded(attribute.DefaultEncoder()), secret)
		}
		return fmt.Sprint(tr.spans[0].name, tr.spans[0].attrs, tr.spans[0].why)
	}
	require.NotContains(t, show(Config{}), secret)
	require.Contains(t, show(Config{WithKeys: true}), secret)
	require.Contains(t, show(Config{WithErrors: true}), secret)
}

func TestLabelsAreBounded(t *testing.T) {
	t.Parallel()
	o, _, m := setup(t, Config{})
	for i := range 10_000 {
		o.Record(t.Context(), dovetail.Event{Name: "sync.moved", Outcome: fmt.Sprint("rule ", i), Key: fmt.Sprint(i), Count: 2})
	}
	require.Len(t, m.series, maxValues+1)
	var total int64
	for _, n := range m.series {
		total += n
	}
	require.EqualValues(t, 20_000, total, "what is not told apart is still counted")
}

func TestOddHeadersAreHarmless(t *testing.T) {
	t.Parallel()
	o, tr, _ := setup(t, Config{})
	for _, parent := range []string{"", "x", "00-0-0-0", "ff-00000000000000000000000000000001-0000000000000001-01", "00-00000000000000000000000000000000-0000000000000000-01"} {
		e := dovetail.Event{Name: "outbox.delivery", Message: "m", Headers: map[string]string{"traceparent": parent}}
		o.Record(o.Start(t.Context(), e), e)
	}
	o.Record(o.Start(t.Context(), dovetail.Event{Name: "outbox.enqueue"}), dovetail.Event{Name: "outbox.enqueue"})
	for _, s := range tr.spans {
		require.Empty(t, s.config.Links())
	}
}

func TestNewReturnsTheMetersError(t *testing.T) {
	t.Parallel()
	m := &metering{fail: errors.New("no more instruments")}
	_, err := New(Config{Meter: m})
	require.ErrorIs(t, err, m.fail)
}
