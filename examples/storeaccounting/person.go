package main

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/examples/storeaccounting/connector"
	"github.com/tectari/dovetail/examples/storeaccounting/story"
)

// person is whoever looks after the integration: a sink that keeps what it was
// told, with the story time.
type person struct {
	clock *story.Clock

	mu   sync.Mutex
	told []message
	read int
}

type message struct {
	at time.Duration // story time
	n  alert.Notification
}

func newPerson(clock *story.Clock) *person { return &person{clock: clock} }

// Name returns "person".
func (p *person) Name() string { return "person" }

// Send takes a notification in.
func (p *person) Send(_ context.Context, n alert.Notification) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = append(p.told, message{at: p.clock.Now(), n: n})
	return nil
}

// news returns what was told since the last call.
func (p *person) news() []message {
	p.mu.Lock()
	defer p.mu.Unlock()
	fresh := append([]message(nil), p.told[p.read:]...)
	p.read = len(p.told)
	return fresh
}

// worried reports whether the person was told that a system is down or that work
// is stuck, and not yet that this is over.
func (p *person) worried() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	open := make(map[string]bool)
	for _, m := range p.told {
		if connector.Alarming(m.n) {
			open[m.n.Fingerprint] = m.n.State != alert.Resolved
		}
	}
	return slices.Contains(slices.Collect(maps.Values(open)), true)
}

func (p *person) count() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return int64(len(p.told))
}
