package outbox

import (
	"context"

	"github.com/tectari/dovetail/alert"
)

// Alerter lets tests listen to the alerts of a queue.
type Alerter interface {
	Report(ctx context.Context, p alert.Problem) error
	Recovering(ctx context.Context, p alert.Problem) error
	Clear(ctx context.Context, p alert.Problem, note string) error
}

// SetAlerts has q tell a.
func SetAlerts(q *Queue, a Alerter) { q.alerts = a }

// InMemory returns how many messages the running relay of q holds.
func InMemory(q *Queue) int {
	r := q.relay.Load()
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.memory)
}
