package connector

import (
	"context"
	"maps"
	"sync"

	"github.com/tectari/dovetail"
)

// A Counter is an Observer that counts events by name and outcome. The zero
// value is ready; it is safe for concurrent use.
type Counter struct {
	mu     sync.Mutex
	counts map[string]int64
}

// Start does nothing.
func (c *Counter) Start(ctx context.Context, _ dovetail.Event) context.Context { return ctx }

// Record counts the event, once by name and once by name and outcome.
func (c *Counter) Record(_ context.Context, e dovetail.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = make(map[string]int64)
	}
	n := max(e.Count, 1)
	c.counts[e.Name] += n
	if e.Outcome != "" {
		c.counts[e.Name+"/"+e.Outcome] += n
	}
	if e.Class == dovetail.Unavailable {
		c.counts[e.Name+"/"+string(e.System)+"/unavailable"] += n
	}
	if e.Attempt > 1 {
		c.counts[e.Name+"/again"] += n
	}
}

// Of returns how often an event was recorded: "sync.conflict", or
// "retry.attempt/throttled" for one outcome.
func (c *Counter) Of(name string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[name]
}

// All returns a copy of every count.
func (c *Counter) All() map[string]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make(map[string]int64, len(c.counts))
	maps.Copy(all, c.counts)
	return all
}
