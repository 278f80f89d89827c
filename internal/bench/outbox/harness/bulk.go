package harness

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// bulk: many events without a business statement, a thousand per transaction.
func bulk(s Sizes) Measure {
	row := Row{Name: "bulk enqueue by 1,000", Unit: "/s", Against: Floor, Goal: "≥ 2.5 Watermill"}
	return Measure{Name: "bulk", Rows: []Row{row}, Run: func(ctx context.Context, b *Bench, c Contender) ([]Reading, error) {
		n := s.Bulk
		if c.Backlog > 0 {
			n = min(n, c.Backlog)
		}
		r := Reading{Row: row.Name}
		err := b.cell(ctx, c, false, func(x *cell) error {
			if c.Role == Bare {
				return ErrUnable
			}
			events := NewEvents(0, n)
			w, err := b.watch()
			if err != nil {
				return err
			}
			for chunk := range slices.Chunk(events, 1000) {
				if err := x.Bulk(ctx, chunk); err != nil {
					return fmt.Errorf("bulk: %w", err)
				}
			}
			r.Value = float64(n) / time.Since(w.begun).Seconds()
			if r.CPU, err = w.cpu(n); err != nil {
				return err
			}
			return x.holds(ctx, n)
		})
		return []Reading{r}, err
	}}
}
