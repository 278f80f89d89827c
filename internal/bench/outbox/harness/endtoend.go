package harness

import (
	"context"
	"fmt"
	"time"
)

// producers is how many goroutines write where delivery is measured as well.
const producers = 8

// endToEnd: producers write business transactions with an event while a consumer
// delivers; how many events a second, from the first write to the last delivery.
func endToEnd(s Sizes) Measure {
	row := Row{
		Name: fmt.Sprintf("end to end, %d producers", producers), Unit: "/s", Against: Floor,
		Goal: "≥ 0.95 floor; ≥ 1.25 best peer, ≥ 2.5 River",
	}
	return Measure{Name: "endtoend", Rows: []Row{row}, Run: func(ctx context.Context, b *Bench, c Contender) ([]Reading, error) {
		r := Reading{Row: row.Name}
		err := b.cell(ctx, c, false, func(x *cell) error {
			if c.Role == Bare {
				return ErrUnable
			}
			write, err := x.Writer(c.Usual)
			if err != nil {
				return err
			}
			l := newLedger(1<<22, false)
			if err := x.warm(ctx, write, l); err != nil {
				return err
			}
			w, err := b.watch()
			if err != nil {
				return err
			}
			n, err := b.written(ctx, write, producers, 1<<22-1, s.Window, 1)
			if err != nil {
				return err
			}
			l.expect(1 + n)
			if !l.wait(s.Cap) {
				got := l.delivered.Load() - 1
				r.Value = float64(got) / time.Since(w.begun).Seconds()
				b.note(c, "cannot keep up with 8 producers: its rate is what it delivered")
				if r.CPU, err = w.cpu(got); err != nil {
					return err
				}
				return x.halt()
			}
			r.Value = float64(n) / l.end.Sub(w.begun).Seconds()
			if err := x.settle(ctx); err != nil {
				return err
			}
			if r.CPU, err = w.cpu(n); err != nil {
				return err
			}
			notes, err := l.check(c, false)
			b.note(c, notes...)
			return err
		})
		return []Reading{r}, err
	}}
}
