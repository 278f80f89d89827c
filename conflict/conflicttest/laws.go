// Package conflicttest checks a resolver against the laws that package sync
// relies on. It is test support: import it from tests only.
//
// # Guarantees
//
// The same Config always makes the same conflicts. Every failure names the law,
// the seed and the conflict it was broken on. Passing is evidence, not proof: the
// conflicts are drawn at random from the values of the Config.
package conflicttest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/conflict"
)

// A Config says on which conflicts a resolver is tried. The zero value is a
// wide choice of values of every kind.
type Config struct {
	// Values are drawn for the sides and the base: name those that the resolver
	// knows, such as the states of a state machine. Null, absent and some of each
	// other kind are always among them. Defaults to none more.
	Values []dovetail.Value
	// Field is the name of the field. Defaults to "field".
	Field string
	// Systems are those that share the field, two or more. Defaults to crm, erp
	// and shop.
	Systems []dovetail.System
	// Seed chooses the conflicts. Defaults to 0, which is a seed like any other.
	Seed uint64
	// Runs is how many conflicts are tried. Defaults to 2000.
	Runs int
}

// Laws fails t for each law that r breaks:
//
//   - ready: its Check method, where it has one, finds nothing
//   - parks: it decides or parks, whatever the kinds of the values; it does not
//     return an error, panic, or decide nothing
//   - deterministic: the same conflict has the same decision, also when asked
//     from several goroutines at once, and whatever the order of Sides
//   - honest: what it takes from a side, that side shows; it makes a new value
//     only if its Traits say that it Invents
//   - idempotent: once both sides and the base show the decision, it decides for
//     that value again
//   - order-free, if its Traits say so: with Left and Right exchanged it parks or
//     decides for the same value
//   - says why, without values: every decision has a reason, and no text of a
//     side stands in it
//   - leaves the conflict alone: it does not write into Sides
//
// Laws must be called from the test's goroutine; r is called from several.
func Laws(t testing.TB, r conflict.Resolver, c Config) {
	t.Helper()
	for _, b := range broken(r, c) {
		t.Error(b)
	}
}

// broken returns what Laws reports, the first breach of each law.
func broken(r conflict.Resolver, c Config) []string {
	if err := conflict.CheckOf(r); err != nil {
		return []string{"ready: " + err.Error()}
	}
	l := &laws{r: r, seed: c.Seed, traits: conflict.TraitsOf(r), seen: map[string]bool{}}
	g := newGenerator(c)
	runs := c.Runs
	if runs <= 0 {
		runs = 2000
	}
	for i := range runs {
		l.check(i, g.conflict(), g.rnd)
	}
	return l.found
}

// laws collects breaches, one per law: the others say the same again.
type laws struct {
	r      conflict.Resolver
	seed   uint64
	traits conflict.Traits
	seen   map[string]bool
	found  []string
}

func (l *laws) breach(law string, run int, c conflict.Conflict, format string, args ...any) {
	if l.seen[law] {
		return
	}
	l.seen[law] = true
	l.found = append(l.found, fmt.Sprintf("%s: %s (seed %d, conflict %d: %s)", law, fmt.Sprintf(format, args...), l.seed, run, describe(c)))
}

// check tries every law on one conflict.
func (l *laws) check(run int, c conflict.Conflict, rnd *rand.Rand) {
	before := slices.Clone(c.Sides)
	d, err := ask(l.r, c)
	switch {
	case err != nil:
		l.breach("parks", run, c, "%v; answer conflict.ParkFor instead", err)
		return
	case d.Verdict == conflict.Undecided || d.Verdict > conflict.Parked:
		l.breach("parks", run, c, "it decided nothing; answer conflict.Take, Set or ParkFor")
		return
	}
	if !reflect.DeepEqual(before, c.Sides) {
		l.breach("leaves the conflict alone", run, c, "it changed Sides")
	}
	l.same(run, c, d, rnd)
	l.honest(run, c, d)
	l.why(run, c, d)
	if d.Verdict == conflict.Parked {
		if l.traits.OrderFree {
			l.orderFree(run, c, d)
		}
		return
	}
	l.idempotent(run, c, d)
	if l.traits.OrderFree {
		l.orderFree(run, c, d)
	}
}

// same asks again: in turn, at once, and with Sides in another order.
func (l *laws) same(run int, c conflict.Conflict, d conflict.Decision, rnd *rand.Rand) {
	const at = 3
	var answers [at]conflict.Decision
	var wait sync.WaitGroup
	for i := range at {
		wait.Go(func() { answers[i], _ = ask(l.r, c) })
	}
	wait.Wait()
	for _, a := range answers {
		if a != d {
			l.breach("deterministic", run, c, "asked again it answered %s, before %s", say(a), say(d))
		}
	}
	c.Sides = slices.Clone(c.Sides)
	rnd.Shuffle(len(c.Sides), func(i, j int) { c.Sides[i], c.Sides[j] = c.Sides[j], c.Sides[i] })
	if a, _ := ask(l.r, c); a.Verdict != d.Verdict || a.Value != d.Value {
		l.breach("deterministic", run, c, "with Sides in another order it answered %s, before %s", say(a), say(d))
	}
}

func (l *laws) honest(run int, c conflict.Conflict, d conflict.Decision) {
	shows := func(s conflict.Side) bool { return s.Value == d.Value && s.System == d.System }
	sides := append([]conflict.Side{c.Left, c.Right}, c.Sides...)
	switch d.Verdict {
	case conflict.Taken:
		if d.Value.IsAbsent() || !slices.ContainsFunc(sides, shows) {
			l.breach("honest", run, c, "%s, but that side does not show it", say(d))
		}
	case conflict.New:
		has := func(s conflict.Side) bool { return s.Value == d.Value }
		if d.Value.IsAbsent() {
			l.breach("honest", run, c, "it made a value that says nothing")
		} else if !l.traits.Invents && !slices.ContainsFunc(sides, has) {
			l.breach("honest", run, c, "it made a new value, and its Traits do not say Invents")
		}
	}
}

func (l *laws) idempotent(run int, c conflict.Conflict, d conflict.Decision) {
	next := c
	next.Base, next.Left.Value, next.Right.Value = d.Value, d.Value, d.Value
	next.Sides = slices.Clone(c.Sides)
	for i := range next.Sides {
		next.Sides[i].Value = d.Value
	}
	if a, err := ask(l.r, next); err != nil || a.Verdict == conflict.Parked || a.Value != d.Value {
		l.breach("idempotent", run, c, "%s; once both sides showed that, it answered %s", say(d), say(a))
	}
}

func (l *laws) orderFree(run int, c conflict.Conflict, d conflict.Decision) {
	c.Left, c.Right = c.Right, c.Left
	if a, err := ask(l.r, c); err != nil || (a.Verdict == conflict.Parked) != (d.Verdict == conflict.Parked) || a.Value != d.Value {
		l.breach("order-free", run, c, "%s, and with the sides exchanged %s", say(d), say(a))
	}
}

// why looks for the text of a side in the reason. Short texts may stand there by
// chance.
func (l *laws) why(run int, c conflict.Conflict, d conflict.Decision) {
	if d.Why == "" {
		l.breach("says why", run, c, "%s without a reason", say(d))
	}
	for _, v := range []dovetail.Value{c.Base, c.Left.Value, c.Right.Value} {
		if text := v.Text(); len(text) >= 5 && v.Kind() != dovetail.KindBool && strings.Contains(d.Why, text) {
			l.breach("says why, without values", run, c, "the reason holds the text of a value")
		}
	}
}

// ask calls the resolver and makes an error of a panic.
func ask(r conflict.Resolver, c conflict.Conflict) (d conflict.Decision, err error) {
	defer func() {
		if p := recover(); p != nil {
			d, err = conflict.Decision{}, fmt.Errorf("it panicked: %v", p)
		}
	}()
	c.Sides = slices.Clip(c.Sides)
	if d, err = r.Resolve(context.Background(), c); err != nil {
		err = fmt.Errorf("it returned the error %w", err)
	}
	return d, err
}
