package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/tectari/dovetail/examples/storeaccounting/connector"
	"github.com/tectari/dovetail/examples/storeaccounting/world"
)

// progress shows how the story goes: one line that moves on a terminal, a line
// every few seconds elsewhere.
type progress struct {
	out      io.Writer
	world    *world.World
	sync     *connector.Connector // nil for the naive sync
	desk     *person
	verbose  bool
	terminal bool
	last     time.Time
}

func newProgress(out io.Writer, w *world.World, k *connector.Connector) *progress {
	p := &progress{out: out, world: w, sync: k}
	if f, ok := out.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

// until shows progress until the story is over or the sync ends.
func (p *progress) until(ctx context.Context, done chan error) error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.world.Done():
			return nil
		case <-p.world.Failed():
			return fmt.Errorf("the story cannot go on: %w", p.world.Err())
		case <-ctx.Done():
			return ctx.Err()
		case err := <-done:
			done <- nil
			return fmt.Errorf("the sync ended before the story did: %w", err)
		case <-tick.C:
			p.line()
		}
	}
}

// line shows where things stand.
func (p *progress) line() {
	p.alerts()
	every := 5 * time.Second
	if p.terminal {
		every = 200 * time.Millisecond
	}
	if time.Since(p.last) < every {
		return
	}
	p.last = time.Now()
	s := p.world.Stats()
	text := fmt.Sprintf("%s  %5d orders  %5d invoices  %4d contacts  %5d webhooks (%d twice)  %d replies lost",
		stamp(p.world.Clock().Now()), s.OrdersPlaced, s.InvoicesMade, s.ContactsMade, s.WebhooksFired, s.WebhooksTwice, s.AcctRepliesLost+s.StoreRepliesLost)
	if p.terminal {
		fmt.Fprintf(p.out, "\r%s\x1b[K", text)
		return
	}
	fmt.Fprintln(p.out, text)
}

// note prints a line of its own.
func (p *progress) note(text string) {
	if p.terminal {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
	fmt.Fprintln(p.out, stamp(p.world.Clock().Now())+"  "+text)
}

// alerts prints what the person was told since the last time.
func (p *progress) alerts() {
	if p.desk == nil {
		return
	}
	for _, m := range p.desk.news() {
		if p.terminal {
			fmt.Fprint(p.out, "\r\x1b[K")
		}
		text := m.n.Summary()
		if p.verbose {
			text = strings.ReplaceAll(strings.TrimSpace(m.n.Text()), "\n", "\n           ")
		}
		fmt.Fprintf(p.out, "%s  ALERT  %s\n", stamp(m.at), text)
	}
}

// stamp is story time as hours and minutes.
func stamp(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d:%02d", int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60)
}
