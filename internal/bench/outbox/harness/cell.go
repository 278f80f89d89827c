package harness

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/tectari/dovetail/internal/bench/outbox/server"
)

// A cell is one contender on a fresh database.
type cell struct {
	System
	contender Contender
	database  server.Database
	bench     *Bench

	consumer chan error
	stop     context.CancelFunc
}

// cell makes a fresh database, sets c up on it, runs work and drops the database.
func (b *Bench) cell(ctx context.Context, c Contender, keyed bool, work func(*cell) error) (err error) {
	database, err := b.server.Create(ctx)
	if err != nil {
		return fmt.Errorf("create a database: %w", err)
	}
	defer func() {
		// The next cell has a database of its own, but the last one leaves nothing.
		err = errors.Join(err, database.Drop(context.WithoutCancel(ctx)))
	}()
	system, err := c.Open(ctx, database.DSN())
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { err = errors.Join(err, system.Close()) }()
	if err := system.Setup(ctx, keyed); err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	// A checkpoint in the middle of a measurement would be paid by whoever is
	// measured then.
	if b.config.Checkpoints {
		if err := database.Checkpoint(ctx); err != nil {
			return fmt.Errorf("checkpoint: %w", err)
		}
	}
	runtime.GC() // what the one before left behind is not this one's work
	x := &cell{System: system, contender: c, database: database, bench: b}
	defer func() { err = errors.Join(err, x.halt()) }()
	return work(x)
}

// consume starts the consumer.
func (x *cell) consume(ctx context.Context, l *Ledger) {
	x.consumer = make(chan error, 1)
	ctx, x.stop = context.WithCancel(ctx)
	ended := x.consumer // halt forgets it
	go func() { ended <- x.Consume(ctx, l.Deliver) }()
}

// halt ends the consumer, if there is one.
func (x *cell) halt() error {
	if x.consumer == nil {
		return nil
	}
	x.stop()
	err := <-x.consumer
	x.consumer = nil
	if err != nil {
		return fmt.Errorf("consume: %w", err)
	}
	return nil
}

// settle waits until everything is acknowledged, and ends the consumer. It returns
// an error when events stay behind: they would come again.
func (x *cell) settle(ctx context.Context) error {
	deadline := time.Now().Add(5 * time.Second)
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		left, err := x.Left(ctx)
		switch {
		case err != nil:
			return fmt.Errorf("count what is left: %w", err)
		case left == 0:
			return x.halt()
		case time.Now().After(deadline):
			return errors.Join(fmt.Errorf("%d events were delivered and never acknowledged", left), x.halt())
		}
		pause(ctx, wait)
	}
}

// fill stores the first n events, a thousand at a time.
func (x *cell) fill(ctx context.Context, n int64) error {
	for first := int64(0); first < n; first += 1000 {
		if err := x.Bulk(ctx, NewEvents(first, min(first+1000, n))); err != nil {
			return fmt.Errorf("bulk: %w", err)
		}
	}
	return x.holds(ctx, n)
}

// holds returns an error unless n events wait.
func (x *cell) holds(ctx context.Context, n int64) error {
	left, err := x.Left(ctx)
	if err != nil {
		return fmt.Errorf("count what was stored: %w", err)
	}
	if left != n {
		return fmt.Errorf("%d events were committed and the queue holds %d", n, left)
	}
	return nil
}

// warm starts the consumer and waits until event 0 has gone through it, so that no
// start-up is measured.
func (x *cell) warm(ctx context.Context, write Write, l *Ledger) error {
	x.consume(ctx, l)
	if err := write(ctx, NewEvent(0)); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	for deadline := time.Now().Add(10 * time.Second); l.delivered.Load() == 0; {
		if time.Now().After(deadline) {
			return errors.New("the first event did not arrive within 10 seconds")
		}
		pause(ctx, time.Millisecond)
	}
	return nil
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
