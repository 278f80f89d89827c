package harness

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// enqueue: how many business transactions a second, each with an event. The floor
// is the same work by hand, and bare the business transaction alone.
func enqueue(s Sizes) []Measure {
	var list []Measure
	for _, kind := range []struct {
		how        Transaction
		name, goal string
		text       string
	}{
		{Callers, "enqueue-callers", "≥ 0.80 bare", "enqueue in the caller's transaction"},
		{Owned, "enqueue-owned", "≥ 1.0 bare", "enqueue in a transaction of the queue"},
		{Single, "enqueue-single", "≥ 1.25 bare", "enqueue one statement and an event"},
	} {
		m := Measure{Name: kind.name}
		for _, n := range s.Writers {
			m.Rows = append(m.Rows, Row{
				Name: fmt.Sprintf("%s, %d writers", kind.text, n), Unit: "/s", Against: Bare, Goal: kind.goal,
			})
		}
		m.Run = func(ctx context.Context, b *Bench, c Contender) ([]Reading, error) {
			var readings []Reading
			for i, n := range s.Writers {
				r, err := b.enqueued(ctx, c, kind.how, n)
				if err != nil {
					return nil, err
				}
				r.Row = m.Rows[i].Name
				readings = append(readings, r)
			}
			return readings, nil
		}
		list = append(list, m)
	}
	return list
}

// enqueued measures one window of writing.
func (b *Bench) enqueued(ctx context.Context, c Contender, how Transaction, writers int) (Reading, error) {
	var r Reading
	err := b.cell(ctx, c, false, func(x *cell) error {
		write, err := x.Writer(how)
		if err != nil {
			return err
		}
		// One each before it counts: connections are made, statements prepared.
		warm, err := b.written(ctx, write, writers, int64(writers), time.Minute, 0)
		if err != nil {
			return err
		}
		w, err := b.watch()
		if err != nil {
			return err
		}
		n, err := b.written(ctx, write, writers, 1<<40, b.sizes.Window, warm)
		if err != nil {
			return err
		}
		r.Value = float64(n) / time.Since(w.begun).Seconds()
		if r.CPU, err = w.cpu(n); err != nil {
			return err
		}
		if c.Role == Bare {
			return nil
		}
		return x.holds(ctx, warm+n)
	})
	return r, err
}

// written has writers write events from first on, until limit of them are written
// or the window is over. It returns how many.
func (b *Bench) written(ctx context.Context, write Write, writers int, limit int64, window time.Duration, first int64) (int64, error) {
	var next, done atomic.Int64
	var mu sync.Mutex
	var failed error
	var group sync.WaitGroup
	end := time.Now().Add(window)
	for range writers {
		group.Go(func() {
			for time.Now().Before(end) && ctx.Err() == nil {
				n := next.Add(1)
				if n > limit {
					return
				}
				if err := write(ctx, NewEvent(first+n-1)); err != nil {
					mu.Lock()
					failed = errors.Join(failed, fmt.Errorf("write: %w", err))
					mu.Unlock()
					return
				}
				done.Add(1)
			}
		})
	}
	group.Wait()
	return done.Load(), failed
}
