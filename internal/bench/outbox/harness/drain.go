package harness

import (
	"context"
	"fmt"
)

// drain: a backlog is there, a consumer starts, how long until the last event has
// reached a sink that does nothing.
func drain(s Sizes) Measure {
	m := Measure{Name: "drain"}
	for _, n := range s.Drain {
		m.Rows = append(m.Rows, Row{
			Name: "drain " + count(n), Unit: "/s", Against: Floor, Goal: "≥ 0.65 floor; ≥ 2 best peer, ≥ 5 Watermill tuned, ≥ 10 River",
		})
	}
	m.Run = func(ctx context.Context, b *Bench, c Contender) ([]Reading, error) {
		var list []Reading
		for i, n := range s.Drain {
			r, err := b.drained(ctx, c, n, false)
			if err != nil {
				return nil, err
			}
			r.Row = m.Rows[i].Name
			list = append(list, r)
		}
		return list, nil
	}
	return m
}

// keyed: the same with the order of each key kept by whoever can.
func keyed(s Sizes) Measure {
	n := s.Drain[0]
	row := Row{Name: fmt.Sprintf("drain %s in order of %s keys", count(n), count(Keys)), Unit: "/s", Against: Floor, Goal: "≥ 4 River"}
	return Measure{Name: "keyed", Rows: []Row{row}, Run: func(ctx context.Context, b *Bench, c Contender) ([]Reading, error) {
		r, err := b.drained(ctx, c, n, true)
		r.Row = row.Name
		return []Reading{r}, err
	}}
}

// depth: does an event cost more where more of them wait?
func depth(s Sizes) Measure {
	small, large := s.Depths[0], s.Depths[1]
	rows := []Row{
		{Name: "drain " + count(small) + " (depth)", Unit: "/s", Against: Floor},
		{Name: "drain " + count(large) + " (depth)", Unit: "/s", Against: Floor},
		{Name: count(large) + " : " + count(small) + ", per event", Unit: "×", Against: Floor, Goal: "≥ 0.9"},
	}
	return Measure{Name: "depth", Rows: rows, Run: func(ctx context.Context, b *Bench, c Contender) ([]Reading, error) {
		if c.Backlog > 0 && c.Backlog < large {
			return nil, ErrUnable // it would take an hour to fill or to drain
		}
		first, err := b.drained(ctx, c, small, false)
		if err != nil {
			return nil, err
		}
		second, err := b.drained(ctx, c, large, false)
		if err != nil {
			return nil, err
		}
		first.Row, second.Row = rows[0].Name, rows[1].Name
		return []Reading{first, second, {Row: rows[2].Name, Value: second.Value / first.Value}}, nil
	}}
}

// drained measures one drain of n events.
func (b *Bench) drained(ctx context.Context, c Contender, n int64, keyed bool) (Reading, error) {
	if c.Backlog > 0 && c.Backlog < n {
		n = c.Backlog
		b.note(c, "given a backlog of "+count(n))
	}
	var r Reading
	err := b.cell(ctx, c, keyed, func(x *cell) error {
		if c.Role == Bare {
			return ErrUnable
		}
		if err := x.fill(ctx, n); err != nil {
			return err
		}
		if err := x.database.Analyze(ctx); err != nil {
			return fmt.Errorf("analyze: %w", err)
		}
		l := newLedger(n, false)
		l.expect(n)
		w, err := b.watch()
		if err != nil {
			return err
		}
		x.consume(ctx, l)
		if !l.wait(b.sizes.Cap) {
			got := l.delivered.Load()
			r.Value = float64(got) / b.sizes.Cap.Seconds()
			if r.CPU, err = w.cpu(got); err != nil {
				return err
			}
			b.note(c, "did not get through its backlog in "+b.sizes.Cap.String()+": its rate is what it delivered by then")
			if err := x.halt(); err != nil || !keyed {
				return err
			}
			notes, err := l.order(c)
			b.note(c, notes...)
			return err
		}
		r.Value = float64(n) / l.end.Sub(w.begun).Seconds()
		if err := x.settle(ctx); err != nil {
			return err
		}
		if r.CPU, err = w.cpu(n); err != nil {
			return err
		}
		notes, err := l.check(c, keyed)
		b.note(c, notes...)
		return err
	})
	return r, err
}
