package main

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
)

// accounting is the other system.
type accounting struct {
	mu       sync.Mutex
	down     bool
	refuses  string
	invoices []outbox.Delivery
}

// Handle makes an invoice. What its error means decides what the queue does.
func (a *accounting) Handle(_ context.Context, d outbox.Delivery) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.down:
		return dovetail.NewError(dovetail.Unavailable, "create invoice", "connection refused")
	case string(d.Payload) == a.refuses:
		return dovetail.NewError(dovetail.Invalid, "create invoice", "unknown tax rate")
	}
	a.invoices = append(a.invoices, d)
	return nil
}

func (a *accounting) set(down bool, refuses string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down, a.refuses = down, refuses
}

func (a *accounting) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.invoices)
}

// audit says whether every invoice was made once, in the order of its customer.
func (a *accounting) audit(out io.Writer) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen, last := map[string]bool{}, map[string]string{}
	for _, d := range a.invoices {
		if seen[d.ID] {
			return fmt.Errorf("%s was made twice", d.ID)
		}
		if d.ID < last[d.Key] {
			return fmt.Errorf("%s came after %s", d.ID, last[d.Key])
		}
		seen[d.ID], last[d.Key] = true, d.ID
	}
	fmt.Fprintf(out, "%d orders, %d invoices: each once, each customer's in order.\n", 30, len(seen))
	return nil
}

// quiet is an observer that says nothing: this program tells the story itself. A
// real one leaves outbox.Config.Observer out, and has its failures in its log.
func quiet() dovetail.Observer { return silent{} }

type silent struct{}

func (silent) Start(ctx context.Context, _ dovetail.Event) context.Context { return ctx }
func (silent) Record(context.Context, dovetail.Event)                      {}
