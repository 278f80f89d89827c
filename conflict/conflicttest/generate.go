package conflicttest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/conflict"
)

// generator draws conflicts.
type generator struct {
	rnd     *rand.Rand
	field   string
	systems []dovetail.System
	kinds   [][]dovetail.Value
	own     []dovetail.Value
}

func newGenerator(c Config) *generator {
	g := &generator{
		rnd:     rand.New(rand.NewPCG(c.Seed, 0x636f6e666c696374)), // #nosec G404 -- tests must repeat
		field:   c.Field,
		systems: c.Systems,
		kinds:   everyKind(),
		own:     c.Values,
	}
	if g.field == "" {
		g.field = "field"
	}
	if len(g.systems) < 2 {
		g.systems = []dovetail.System{"crm", "erp", "shop"}
	}
	return g
}

// everyKind returns values worth trying, by kind.
func everyKind() [][]dovetail.Value {
	day := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return [][]dovetail.Value{
		{{}, dovetail.Null()},
		{dovetail.Bool(true), dovetail.Bool(false)},
		{dovetail.Int(0), dovetail.Int(1), dovetail.Int(-7), dovetail.Int(12), dovetail.Int(1<<63 - 1), dovetail.Int(-1 << 63), dovetail.DecimalOf(1, 0)},
		{dovetail.DecimalOf(0, 0), dovetail.DecimalOf(1250, 2), dovetail.DecimalOf(-1, 2), dovetail.DecimalOf(999_999_999_999_999_999, 18), dovetail.Int(12)},
		{dovetail.String(""), dovetail.String("Ada Lovelace"), dovetail.String("ada"), dovetail.String("one\ntwo\nthree\n"), dovetail.String("one\n2\nthree\n"), dovetail.String("one\ntwo\nthree\nfour\n")},
		{dovetail.Time(day), dovetail.Time(day.Add(time.Nanosecond)), dovetail.Time(time.Time{})},
		{dovetail.Raw(`[]`), dovetail.Raw(`["gold","vip"]`), dovetail.Raw(`["vip"]`), dovetail.Raw(`["gold","late"]`), dovetail.Raw(`{"not":"a set"}`), dovetail.Raw(`[`)},
	}
}

// conflict draws one: mostly values of one kind, since those are what a resolver
// decides about, and now and then anything at all.
func (g *generator) conflict() conflict.Conflict {
	pool := g.pool()
	draw := func() dovetail.Value {
		if g.rnd.IntN(8) == 0 {
			pool := g.kinds[g.rnd.IntN(len(g.kinds))]
			return pool[g.rnd.IntN(len(pool))]
		}
		return pool[g.rnd.IntN(len(pool))]
	}
	c := conflict.Conflict{Link: "laws", Key: "1", Field: g.field, Base: draw()}
	order := g.rnd.Perm(len(g.systems))
	for _, i := range order {
		c.Sides = append(c.Sides, conflict.Side{System: g.systems[i], Value: draw(), At: g.time(), By: "somebody", Version: "1"})
	}
	c.Left, c.Right = c.Sides[0], c.Sides[1]
	switch g.rnd.IntN(12) {
	case 0: // one side still shows the base
		c.Base = c.Left.Value
	case 1:
		c.Base = c.Right.Value
	case 2: // an agreed value that no system set: a decision made it
		c.Left.System, c.Sides = "", c.Sides[1:]
	case 3: // nobody else is known
		c.Sides = nil
	}
	return c
}

// pool is what the values of one conflict are drawn from.
func (g *generator) pool() []dovetail.Value {
	if len(g.own) > 0 && g.rnd.IntN(2) == 0 {
		return g.own
	}
	return g.kinds[g.rnd.IntN(len(g.kinds))]
}

// time draws a time from a few, so that equal and near ones are common.
func (g *generator) time() time.Time {
	switch g.rnd.IntN(8) {
	case 0:
		return time.Time{}
	case 1:
		return time.Unix(0, 0)
	default:
		start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		return start.Add(time.Duration(g.rnd.IntN(7)) * 30 * time.Second)
	}
}

// describe says what a conflict looks like. It is read in a test's output, so it
// shows values: they are the generator's and the Config's own.
func describe(c conflict.Conflict) string {
	value := func(v dovetail.Value) string { return strings.TrimSpace(fmt.Sprintf("%s %.60q", v.Kind(), v.Text())) }
	var text strings.Builder
	text.WriteString(fmt.Sprintf("base %s, left %s of %q, right %s of %q", value(c.Base), value(c.Left.Value), c.Left.System, value(c.Right.Value), c.Right.System))
	others := slices.DeleteFunc(slices.Clone(c.Sides), func(s conflict.Side) bool { return s == c.Left || s == c.Right })
	for _, s := range others {
		text.WriteString(fmt.Sprintf(", %q shows %s", s.System, value(s.Value)))
	}
	return text.String()
}

// say describes a decision.
func say(d conflict.Decision) string {
	switch d.Verdict {
	case conflict.Taken:
		return fmt.Sprintf("it took the %s of %q", d.Value.Kind(), d.System)
	case conflict.New:
		return fmt.Sprintf("it made the %s %.60q", d.Value.Kind(), d.Value.Text())
	default:
		return "it " + d.Verdict.String()
	}
}
