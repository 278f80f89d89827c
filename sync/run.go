package sync

import (
	"context"
	"errors"
	"fmt"
	stdsync "sync"
	"time"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/outbox"
)

// Run keeps the systems in agreement until ctx is done: it polls them, and
// searches the store for work that no message stands for. The writes themselves
// are delivered by the queue, which the caller runs too; [Run] does both. It
// returns nil once ctx is done and what was under way has ended, and
// ErrRulesChanged when the records were made under other rules, or are moved to
// others by Transfer meanwhile. Several processes may run the same link.
func (l *Link) Run(ctx context.Context) error {
	if err := l.checkRules(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // stopped before it began
		}
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wg stdsync.WaitGroup
	for _, p := range l.parties {
		if p.reads() || p.silent > 0 {
			wg.Go(func() { l.pollLoop(ctx, p, stop) })
		}
	}
	wg.Go(func() { l.sweepLoop(ctx, stop) })
	wg.Go(func() { l.parkedLoop(ctx) })
	wg.Wait()
	if err := context.Cause(ctx); errors.Is(err, ErrRulesChanged) {
		return err
	}
	return nil
}

// Run runs links, the queues they deliver through and the alert managers that
// tell of them until ctx is done, or one of them fails to start; the others are
// then stopped too. Each queue and each manager runs once, however many links
// share it; a caller that runs one of them elsewhere does not use this function.
func Run(ctx context.Context, links ...*Link) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	queues := make(map[*outbox.Queue]bool)
	managers := make(map[*alert.Manager]bool)
	var wg stdsync.WaitGroup
	var mu stdsync.Mutex
	var errs []error
	start := func(run func(context.Context) error) {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
				stop()
			}
		})
	}
	for _, l := range links {
		if !queues[l.queue] {
			queues[l.queue] = true
			start(l.queue.Run)
		}
		if !managers[l.alerts] {
			managers[l.alerts] = true
			start(l.alerts.Run)
		}
		start(l.Run)
	}
	wg.Wait()
	return errors.Join(errs...)
}

// sweepLoop searches the store for outstanding work at the start and on schedule.
func (l *Link) sweepLoop(ctx context.Context, stop context.CancelCauseFunc) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		_, err := l.Sweep(ctx)
		if errors.Is(err, ErrRulesChanged) {
			stop(err)
			return
		}
		if err != nil && ctx.Err() == nil {
			l.observer.Record(ctx, dovetail.Event{Name: "sync.sweep", Time: l.now(), Link: l.name, Outcome: "failed", Err: err, Class: dovetail.Classify(err)})
		}
		timer.Reset(l.sweepEvery)
	}
}

// Sweep enqueues a message for every record with outstanding work and returns
// how many there were. Listings of the systems do not show such records: after a
// crash one may not exist in any of them yet.
func (l *Link) Sweep(ctx context.Context) (int, error) {
	if err := l.mayRun(ctx); err != nil {
		return 0, err
	}
	const batch = 200
	total, after := 0, ""
	for {
		rows, err := l.store.ScanRecords(ctx, l.name, Outstanding, after, batch)
		if err != nil {
			return total, fmt.Errorf("sweep link %s: %w", l.name, err)
		}
		if len(rows) == 0 {
			return total, nil
		}
		err = l.queue.Tx(ctx, func(ctx context.Context, tx outbox.Tx) error {
			for _, row := range rows {
				if err := l.enqueueOutstanding(ctx, tx, row); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return total, fmt.Errorf("sweep link %s: %w", l.name, err)
		}
		total += len(rows)
		after = rows[len(rows)-1].Key
	}
}

func (l *Link) enqueueOutstanding(ctx context.Context, tx outbox.Tx, row Row) error {
	r, err := l.rules.unmarshal(row)
	if err != nil {
		return err
	}
	for s := range r.shadow {
		if w := l.outstanding(r, s); w == workNow || w == workWaits {
			if err := l.queue.Enqueue(ctx, tx, outbox.Message{To: l.writeTo(s), Topic: "write", Key: r.key}); err != nil {
				return err
			}
		}
	}
	return nil
}
