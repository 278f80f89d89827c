package main

import (
	"context"
	"fmt"
	"time"

	"github.com/tectari/dovetail/examples/storeaccounting/connector"
	"github.com/tectari/dovetail/examples/storeaccounting/world"
)

const (
	settleLook  = 200 * time.Millisecond
	settleFor   = 2 * time.Minute // without progress: then it is given up
	settleReads = 3               // both systems are read so often after all was quiet
)

// A finish is the end of a run: it waits until nothing is left to do.
type finish struct {
	world *world.World
	sync  *connector.Connector
	show  *progress
	done  chan error
	hope  hope
}

// hope is how long a finish goes on: as long as there is progress.
type hope struct {
	least int64 // that was ever left
	made  int64
	moved time.Time // when there was progress last
}

// gone reports whether there was no progress for too long: neither is less left
// than ever, nor was more made.
func (h *hope) gone(left, made int64) bool {
	if h.moved.IsZero() || left < h.least || made > h.made {
		h.least, h.made, h.moved = left, made, time.Now()
	}
	return time.Since(h.moved) > settleFor
}

// settle waits until both systems were read again after the end of the story,
// nothing is left to do, and nobody stands there with an alarm of an outage that is
// over. It gives up after settleFor without progress, however long it takes with,
// and returns how much was left then.
func (f *finish) settle(ctx context.Context) (left int64, err error) {
	f.show.note("the story is over; what is left is being finished")
	for reads := 0; ; {
		if err := f.pause(ctx); err != nil {
			return 0, err
		}
		f.show.line()
		if left, err = f.left(ctx); err != nil {
			return 0, err
		}
		switch {
		case left > 0 && f.stalled(left):
			f.show.note(fmt.Sprintf("nothing has moved for %s; this is left:", settleFor))
			return left, f.sync.Left(ctx, f.show.out)
		case left > 0:
			reads = 0
		case reads < settleReads:
			reads++
			if err := f.sync.Poll(ctx); err != nil {
				f.show.note("poll: " + err.Error())
			}
		default:
			alarmed, err := f.sync.Alarmed(ctx)
			if err != nil || (!alarmed && !f.show.desk.worried()) || f.stalled(0) {
				return 0, err
			}
		}
	}
}

// left is how many messages, records and webhooks are unfinished.
func (f *finish) left(ctx context.Context) (int64, error) {
	left, err := f.sync.Unfinished(ctx)
	return left + max(f.world.Stats().WebhooksOwed, 0), err
}

func (f *finish) stalled(left int64) bool {
	s := f.world.Stats()
	return f.hope.gone(left, s.ContactsMade+s.InvoicesMade)
}

// pause waits a moment, unless something ends before.
func (f *finish) pause(ctx context.Context) error {
	t := time.NewTimer(settleLook)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-f.world.Failed():
		return f.world.Err()
	case err := <-f.done:
		f.done <- nil
		return fmt.Errorf("the connector ended: %w", err)
	}
}
