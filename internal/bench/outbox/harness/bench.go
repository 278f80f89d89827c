package harness

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/tectari/dovetail/internal/bench/outbox/server"
)

// Config says what is measured.
type Config struct {
	Server     server.Server
	Contenders []Contender
	Measures   []Measure
	Sizes      Sizes
	Rounds     int
	// Checkpoints: have one before each measurement, so that none comes in it.
	Checkpoints bool
	// Progress is told of each measurement.
	Progress *slog.Logger
}

// A Bench runs measures on one server. Make one with New. It is not safe for
// concurrent use: two measurements at once would measure each other.
type Bench struct {
	config Config
	server server.Server
	sizes  Sizes
	notes  map[string][]string
	faults []error
}

// New returns a bench.
func New(c Config) *Bench {
	return &Bench{config: c, server: c.Server, sizes: c.Sizes, notes: map[string][]string{}}
}

// Run measures everything and returns the table. Contenders take turns: in each
// round each one is measured once, in random order. A contender that fails has no
// reading there; the error says which and why, and the table is still good.
func (b *Bench) Run(ctx context.Context) (*Table, error) {
	t := newTable(b)
	for _, m := range b.config.Measures {
		unable := map[string]bool{}
		for round := range b.config.Rounds {
			order := slices.DeleteFunc(slices.Clone(b.config.Contenders), func(c Contender) bool { return c.Absent != "" || unable[c.Name] })
			rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
			for _, c := range order {
				readings, err := m.Run(ctx, b, c)
				switch {
				case ctx.Err() != nil: // whatever err says then, it is no fault
					return t, context.Cause(ctx)
				case errors.Is(err, ErrUnable):
					unable[c.Name] = true
					continue
				case err != nil:
					unable[c.Name] = true
					err = fmt.Errorf("%s: %s: %s: %w", b.server.Name(), c.Name, m.Name, err)
					b.faults = append(b.faults, err)
					b.note(c, "failed: "+m.Name)
					b.config.Progress.Error("failed", "system", c.Name, "measure", m.Name, "err", err)
					continue
				}
				for _, r := range readings {
					b.config.Progress.Info(r.Row, "round", round+1, "system", c.Name, "value", r.Value, "cpu", r.CPU)
					t.add(c.Name, round, r)
				}
			}
		}
	}
	return t, errors.Join(b.faults...)
}

// note keeps what a reader of the table should know of a contender.
func (b *Bench) note(c Contender, notes ...string) {
	for _, n := range notes {
		if !slices.Contains(b.notes[c.Name], n) {
			b.notes[c.Name] = append(b.notes[c.Name], n)
		}
	}
}

// count writes 1000000 as 1,000,000.
func count(n int64) string {
	digits := fmt.Sprint(n)
	var parts []string
	for len(digits) > 3 {
		parts = append([]string{digits[len(digits)-3:]}, parts...)
		digits = digits[:len(digits)-3]
	}
	return strings.Join(append([]string{digits}, parts...), ",")
}
