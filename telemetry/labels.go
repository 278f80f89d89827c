package telemetry

import (
	"sync"

	"github.com/tectari/dovetail"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// maxValues is how many values one label takes before the rest is "other".
const maxValues = 200

// labels bounds what the labels of metrics may say, since every new value is a
// time series for ever.
type labels struct {
	mu   sync.Mutex
	seen map[string]map[string]bool
}

func newLabels() *labels { return &labels{seen: map[string]map[string]bool{}} }

// value returns v, or "other" when the label has enough values.
func (l *labels) value(label, v string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	values := l.seen[label]
	if values == nil {
		values = map[string]bool{}
		l.seen[label] = values
	}
	if !values[v] {
		if len(values) >= maxValues {
			return "other"
		}
		values[v] = true
	}
	return v
}

// measured is the labels of an event.
func (o *Observer) measured(e dovetail.Event) metric.MeasurementOption {
	attrs := make([]attribute.KeyValue, 0, 6)
	add := func(label, v string) {
		if v != "" {
			attrs = append(attrs, attribute.String(label, o.labels.value(label, v)))
		}
	}
	add("dovetail.event", e.Name)
	add("dovetail.link", e.Link)
	add("dovetail.system", string(e.System))
	add("dovetail.destination", e.Destination)
	add("dovetail.outcome", e.Outcome)
	if e.Err != nil {
		add("error.type", e.Class.String())
	}
	return metric.WithAttributeSet(attribute.NewSet(attrs...))
}
