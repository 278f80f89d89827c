package harness

import (
	"context"
	"errors"
	"fmt"
)

// life: how many bytes of log the database writes for an event from its enqueue, a
// thousand per transaction, to its acknowledgement.
func life(s Sizes) Measure {
	row := Row{Name: "log per event, whole life", Unit: "B", Less: true, Against: Floor, Goal: "≤ 400 B"}
	return Measure{Name: "log", Rows: []Row{row}, Run: func(ctx context.Context, b *Bench, c Contender) ([]Reading, error) {
		n := s.Life
		if c.Backlog > 0 {
			n = min(n, c.Backlog)
		}
		r := Reading{Row: row.Name}
		err := b.cell(ctx, c, false, func(x *cell) error {
			if c.Role == Bare {
				return ErrUnable
			}
			before, err := x.database.Log(ctx)
			if errors.Is(err, errors.ErrUnsupported) {
				return ErrUnable
			}
			if err != nil {
				return err
			}
			w, err := b.watch()
			if err != nil {
				return err
			}
			if err := x.fill(ctx, n); err != nil {
				return err
			}
			l := newLedger(n, false)
			l.expect(n)
			x.consume(ctx, l)
			if !l.wait(3 * s.Cap) {
				// Half a life is no life: the rest is still to be written.
				return errors.Join(ErrUnable, x.halt())
			}
			if err := x.settle(ctx); err != nil {
				return err
			}
			after, err := x.database.Log(ctx)
			if err != nil {
				return err
			}
			r.Value = float64(after-before) / float64(n)
			if r.CPU, err = w.cpu(n); err != nil {
				return err
			}
			notes, err := l.check(c, false)
			b.note(c, notes...)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("log: %w", err)
		}
		return []Reading{r}, nil
	}}
}
