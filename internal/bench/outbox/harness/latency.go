package harness

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// latency: from the moment the producer's COMMIT returned to the moment the
// handler is called. The load is open: an event is due when it is due, however
// long the one before took.
func latency(s Sizes) Measure {
	m := Measure{Name: "latency"}
	for _, rate := range s.Rates {
		m.Rows = append(m.Rows,
			Row{Name: fmt.Sprintf("commit → delivered at %d/s, p50", rate), Unit: "ms", Less: true, Against: Floor, Goal: "≤ 0.3 ms"},
			Row{Name: fmt.Sprintf("commit → delivered at %d/s, p99", rate), Unit: "ms", Less: true, Against: Floor, Goal: "≤ 4 ms"},
		)
	}
	m.Run = func(ctx context.Context, b *Bench, c Contender) ([]Reading, error) {
		var list []Reading
		for i, rate := range s.Rates {
			p50, p99, cpu, err := b.late(ctx, c, rate)
			if err != nil {
				return nil, err
			}
			list = append(list, Reading{Row: m.Rows[2*i].Name, Value: p50, CPU: cpu}, Reading{Row: m.Rows[2*i+1].Name, Value: p99, CPU: cpu})
		}
		return list, nil
	}
	return m
}

// late measures latency, in milliseconds, at one rate.
func (b *Bench) late(ctx context.Context, c Contender, rate int) (p50, p99, cpu float64, err error) {
	n := int64(float64(rate) * b.sizes.Load.Seconds())
	err = b.cell(ctx, c, false, func(x *cell) error {
		if c.Role == Bare {
			return ErrUnable
		}
		write, err := x.Writer(c.Usual)
		if err != nil {
			return err
		}
		l := newLedger(1+n, true)
		if err := x.warm(ctx, write, l); err != nil {
			return err
		}
		w, err := b.watch()
		if err != nil {
			return err
		}
		committed := make([]time.Duration, 1+n)
		if err := offer(ctx, write, rate, l, committed); err != nil {
			return err
		}
		l.expect(1 + n)
		if !l.wait(max(b.sizes.Cap, 10*time.Second)) {
			return fmt.Errorf("%d of %d events arrived", l.delivered.Load()-1, n)
		}
		if err := x.settle(ctx); err != nil {
			return err
		}
		if cpu, err = w.cpu(n); err != nil {
			return err
		}
		waits := make([]float64, 0, n)
		for i := int64(1); i <= n; i++ {
			// A handler may be faster than the producer's own return from COMMIT.
			waits = append(waits, max(0, time.Duration(l.arrived[i])-committed[i]).Seconds()*1000)
		}
		slices.Sort(waits)
		p50, p99 = waits[len(waits)/2], waits[len(waits)*99/100]
		notes, err := l.check(c, false)
		b.note(c, notes...)
		return err
	})
	return p50, p99, cpu, err
}

// offer writes events from 1 on at a rate, each at a random moment of its share of
// the time, and notes when its commit returned.
func offer(ctx context.Context, write Write, rate int, l *Ledger, committed []time.Duration) error {
	begun := time.Now()
	step := time.Second / time.Duration(rate)
	var mu sync.Mutex
	var failed error
	var group sync.WaitGroup
	for p := range producers {
		group.Go(func() {
			for n := 1 + p; n < len(committed); n += producers {
				due := begun.Add(time.Duration(n)*step + rand.N(step))
				pause(ctx, time.Until(due))
				if err := write(ctx, NewEvent(int64(n))); err != nil {
					mu.Lock()
					failed = errors.Join(failed, fmt.Errorf("write: %w", err))
					mu.Unlock()
					return
				}
				committed[n] = time.Since(l.begun)
			}
		})
	}
	group.Wait()
	return failed
}
