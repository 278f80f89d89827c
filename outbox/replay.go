package outbox

import (
	"context"
	"fmt"
	"time"
)

// A Pace says who replays dead letters, why, and how fast.
type Pace struct {
	// By is who does it. Required.
	By string
	// Why is recorded. Optional.
	Why string
	// PerSecond is how many letters are sent again in a second. Defaults to 50.
	PerSecond float64
}

// A Replayed is how far a ReplayAll came.
type Replayed struct {
	// Messages counts the letters that were sent again.
	Messages int
	// After is where another call goes on, as Filter.After.
	After int64
}

// clocks is how far the clock of this process and of the database may be apart.
const clocks = time.Minute

// ReplayAll sends all that the filter selects again, at a pace, in the order of
// each key, oldest first; Filter.Limit bounds how many in all, and zero is no
// bound. Each letter is sent once, although it may be a dead letter again before
// the call ends. Letters that die while it runs are not among them, give or take
// a minute between the clocks, unless Filter.Before says otherwise. Every page is
// recorded with its messages. It returns when all is done, or with the context's
// error and how far it came: another call with that Filter.After goes on. It
// returns ErrNoReason without Pace.By. Wait for what was replayed by looking at
// Lag; nothing here waits for deliveries.
func (q *Queue) ReplayAll(ctx context.Context, f Filter, p Pace) (Replayed, error) {
	done := Replayed{After: f.After}
	if p.By == "" {
		return done, fmt.Errorf("replay: %w", ErrNoReason)
	}
	if !(p.PerSecond > 0) { // not a number neither
		p.PerSecond = 50
	}
	if f.Before.IsZero() {
		f.Before = time.Now().Add(clocks)
	}
	pages := q.pages(f, int(max(1, min(p.PerSecond/2, letterPage))))
	due := time.Now()
	for {
		list, err := pages.next(ctx)
		if err != nil {
			return done, fmt.Errorf("outbox: replay: %w", err)
		}
		if len(list) == 0 {
			return done, nil
		}
		if err := until(ctx, due); err != nil {
			return done, fmt.Errorf("outbox: replay: %w", err)
		}
		op := Operation{Action: ReplayAction, Filter: f, Who: p.By, Why: p.Why}
		op.Filter.After = done.After // so that a letter before it stays untouched
		n, err := q.operateList(ctx, op, list)
		done.Messages += n
		if err != nil {
			return done, err
		}
		done.After = list[len(list)-1].Seq
		if now := time.Now(); due.Before(now) {
			due = now
		}
		due = due.Add(time.Duration(float64(len(list)) / p.PerSecond * float64(time.Second)))
	}
}

// until waits until t, or returns the context's error.
func until(ctx context.Context, t time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
