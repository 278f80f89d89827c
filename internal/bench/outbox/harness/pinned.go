package harness

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// backlog is how many events wait at most while events are stored and delivered
// at the same time.
const backlog = 20_000

// pinned: what an old open transaction, that has nothing to do with the queue,
// does to it. Events are stored and delivered at the same time, first without it
// and then with it.
func pinned(s Sizes) Measure {
	rows := []Row{
		{Name: "bulk enqueue and drain at once", Unit: "/s", Against: Floor},
		{Name: "the same beside an old open transaction", Unit: "/s", Against: Floor},
		{Name: "beside an old transaction : normal", Unit: "%", Against: Floor, Goal: "≥ 95 %"},
	}
	return Measure{Name: "pinned", Rows: rows, Run: func(ctx context.Context, b *Bench, c Contender) ([]Reading, error) {
		normal, err := b.sustained(ctx, c, s.Life, false)
		if err != nil {
			return nil, err
		}
		beside, err := b.sustained(ctx, c, s.Life, true)
		if err != nil {
			return nil, err
		}
		normal.Row, beside.Row = rows[0].Name, rows[1].Name
		if normal.Value == 0 {
			return []Reading{normal, beside}, nil
		}
		return []Reading{normal, beside, {Row: rows[2].Name, Value: 100 * beside.Value / normal.Value}}, nil
	}}
}

// sustained stores and delivers n events at the same time.
func (b *Bench) sustained(ctx context.Context, c Contender, n int64, pin bool) (Reading, error) {
	if c.Backlog > 0 {
		n = min(n, c.Backlog)
	}
	var r Reading
	err := b.cell(ctx, c, false, func(x *cell) (err error) {
		if c.Role == Bare {
			return ErrUnable
		}
		if pin {
			release, err := x.database.Pin(ctx)
			if err != nil {
				return fmt.Errorf("hold a transaction open: %w", err)
			}
			defer func() { err = errors.Join(err, release()) }()
		}
		events := NewEvents(0, n)
		l := newLedger(n, false)
		l.expect(n)
		w, err := b.watch()
		if err != nil {
			return err
		}
		x.consume(ctx, l)
		end := w.begun.Add(b.sizes.Cap)
		for first := int64(0); first < n && time.Now().Before(end); {
			if first-l.delivered.Load() >= backlog {
				pause(ctx, time.Millisecond)
				continue
			}
			next := min(first+1000, n)
			if err := x.Bulk(ctx, events[first:next]); err != nil {
				return fmt.Errorf("bulk: %w", err)
			}
			first = next
		}
		if !l.wait(time.Until(end)) {
			got := l.delivered.Load()
			r.Value = float64(got) / time.Since(w.begun).Seconds()
			if got == 0 && pin {
				b.note(c, "delivered nothing in "+b.sizes.Cap.String()+" beside an old open transaction")
			}
			if r.CPU, err = w.cpu(got); err != nil {
				return err
			}
			return x.halt()
		}
		r.Value = float64(n) / l.end.Sub(w.begun).Seconds()
		if r.CPU, err = w.cpu(n); err != nil {
			return err
		}
		if err := x.settle(ctx); err != nil {
			return err
		}
		notes, err := l.check(c, false)
		b.note(c, notes...)
		return err
	})
	return r, err
}
