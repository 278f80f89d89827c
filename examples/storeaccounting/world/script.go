package world

import (
	"context"
	"strconv"
	"time"

	"github.com/tectari/dovetail/examples/storeaccounting/acctsim"
	"github.com/tectari/dovetail/examples/storeaccounting/storesim"
	"github.com/tectari/dovetail/examples/storeaccounting/story"
)

const (
	tick      = 25 * time.Millisecond  // wall time between looks at the script
	keepEvery = 100 * time.Millisecond // wall time between saves of clock and counters
	batch     = 200                    // actions in one transaction
	patience  = 4                      // ticks between looks at the edits in accounting, some of which wait for a contact

	// refusedUntil is when the outage's first part ends, in which connections
	// are refused; after it comes a 503.
	refusedUntil = story.OutageFrom + 3*(story.OutageTo-story.OutageFrom)/4
)

// script is what has yet to happen in each system, in order.
type script struct {
	store      []story.Action
	accounting []story.Action
}

// pending leaves out what the systems say has happened.
func pending(ctx context.Context, actions []story.Action, store *storesim.Server, accounting *acctsim.Server) (script, error) {
	var s script
	inStore, err := store.Done(ctx)
	if err != nil {
		return s, err
	}
	inAccounting, err := accounting.Done(ctx)
	if err != nil {
		return s, err
	}
	for _, a := range actions {
		switch {
		case a.System == story.Store && !inStore[a.Seq]:
			s.store = append(s.store, a)
		case a.System == story.Accounting && !inAccounting[a.Seq]:
			s.accounting = append(s.accounting, a)
		}
	}
	return s, nil
}

// due returns the actions at the front whose time has come, at most a batch.
func due(actions []story.Action, now time.Duration) []story.Action {
	n := 0
	for n < len(actions) && n < batch && actions[n].At <= now {
		n++
	}
	return actions[:n]
}

// tell makes the story happen until it is over or ctx is done.
func (w *World) tell(ctx context.Context) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	over := false
	for n := 0; ; n++ {
		now := w.clock.Now()
		w.outage(now)
		if !over {
			var err error
			if over, err = w.act(context.WithoutCancel(ctx), now, n%patience == 0); err != nil {
				return err
			}
			if over {
				close(w.done)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// outage takes accounting down and up again. Up fails only while another
// program sits on the port; the next tick tries again.
func (w *World) outage(now time.Duration) {
	if now >= story.OutageFrom && now < refusedUntil {
		_ = w.acctUp.Down() // cutting connections is the point; that it hurts is no news
		return
	}
	_ = w.acctUp.Up()
}

// act does what is due, in accounting only if told, and says whether the story
// is over.
func (w *World) act(ctx context.Context, now time.Duration, accounting bool) (over bool, err error) {
	for {
		actions := due(w.script.store, now)
		if len(actions) == 0 {
			break
		}
		if _, err := w.store.Apply(ctx, actions); err != nil {
			return false, err
		}
		w.script.store = w.script.store[len(actions):]
	}
	if !accounting {
		return false, nil
	}
	if err := w.actInAccounting(ctx, now); err != nil {
		return false, err
	}
	if now < story.End || len(w.script.store) > 0 {
		return false, nil
	}
	// Whoever wanted to edit a contact that never came has given up.
	err = w.accounting.Drop(ctx, w.script.accounting)
	w.script.accounting = nil
	return err == nil, err
}

// actInAccounting does the edits that are due. Those of contacts that are not
// there yet stay.
func (w *World) actInAccounting(ctx context.Context, now time.Duration) error {
	n := 0
	for n < len(w.script.accounting) && w.script.accounting[n].At <= now {
		n++
	}
	if n == 0 {
		return nil
	}
	done, err := w.accounting.Apply(ctx, w.script.accounting[:n])
	if err != nil || len(done) == 0 {
		return err
	}
	finished := make(map[int64]bool, len(done))
	for _, seq := range done {
		finished[seq] = true
	}
	var left []story.Action
	for _, a := range w.script.accounting {
		if !finished[a.Seq] {
			left = append(left, a)
		}
	}
	w.script.accounting = left
	return nil
}

// keep saves clock and counters now and then.
func (w *World) keep(ctx context.Context) error {
	ticker := time.NewTicker(keepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := w.save(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
}

func (w *World) save(ctx context.Context) error {
	if err := w.store.SetMeta(ctx, "clock", strconv.FormatInt(w.clock.Millis(), 10)); err != nil {
		return err
	}
	if err := w.store.Flush(ctx); err != nil {
		return err
	}
	return w.accounting.Flush(ctx)
}
