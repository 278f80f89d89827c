package conflict

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Traits say what a resolver promises beyond deciding. The zero Traits promise
// nothing about order, and that it neither makes values nor reads clocks.
type Traits struct {
	// OrderFree: with Left and Right exchanged it decides for the same value.
	OrderFree bool
	// Invents: it may decide for a value that no side has.
	Invents bool
	// ReadsClock: it compares times that different systems gave.
	ReadsClock bool
}

// TraitsOf returns what r says of itself with a Traits method, and the zero
// Traits when it has none.
func TraitsOf(r Resolver) Traits {
	if t, ok := r.(interface{ Traits() Traits }); ok && !isNil(r) {
		return t.Traits()
	}
	return Traits{}
}

// CheckOf returns what is wrong with how r was built: that it is nil, or what its
// Check method says. It is nil for a resolver without that method.
func CheckOf(r Resolver) error {
	if isNil(r) {
		return errNil
	}
	if c, ok := r.(interface{ Check() error }); ok {
		return c.Check()
	}
	return nil
}

var errNil = errors.New("no resolver is given")

// builtin is every resolver of this package: they differ in decide only.
type builtin struct {
	name   string
	traits Traits
	fault  error
	decide func(ctx context.Context, c Conflict) Decision
}

// build makes a resolver that hands some conflicts on to others. Its faults are
// theirs and the given ones; its traits hold only as far as theirs do.
func build(name string, traits Traits, others []Resolver, faults []string, decide func(context.Context, Conflict) Decision) Resolver {
	var errs []error
	for _, f := range faults {
		errs = append(errs, fmt.Errorf("%s: %s", name, f))
	}
	for _, o := range others {
		if err := CheckOf(o); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
			continue
		}
		t := TraitsOf(o)
		traits.OrderFree = traits.OrderFree && t.OrderFree
		traits.Invents = traits.Invents || t.Invents
		traits.ReadsClock = traits.ReadsClock || t.ReadsClock
	}
	return &builtin{name: name, traits: traits, fault: errors.Join(errs...), decide: decide}
}

// Resolve decides c. It returns no error: what it cannot decide it parks.
func (b *builtin) Resolve(ctx context.Context, c Conflict) (Decision, error) {
	if b.fault != nil {
		why := "the resolver is not set up: " + strings.ReplaceAll(b.fault.Error(), "\n", "; ")
		return Decision{Verdict: Parked, Why: why, By: b.name}, nil
	}
	d := b.decide(ctx, c)
	if d.By == "" {
		d.By = b.name
	}
	return d, nil
}

// Name returns the resolver's name in lower case.
func (b *builtin) Name() string { return b.name }

// Check returns what is wrong with how the resolver was built, nil if nothing.
func (b *builtin) Check() error { return b.fault }

// Traits returns what the resolver promises.
func (b *builtin) Traits() Traits { return b.traits }

// handOn lets another resolver decide, and keeps why it had to.
func handOn(ctx context.Context, to Resolver, c Conflict, why string) Decision {
	d := Decide(ctx, to, c)
	d.Why = why + "; " + d.Why
	return d
}

// settled decides what is no conflict: sides that agree, and a side that says
// nothing.
func settled(c Conflict) (Decision, bool) {
	switch l, r := c.Left, c.Right; {
	case l.Value.IsAbsent() && r.Value.IsAbsent():
		return ParkFor("neither side says anything"), true
	case l.Value == r.Value:
		return Take(l, "both sides agree"), true
	case l.Value.IsAbsent():
		return Take(r, "the other side says nothing"), true
	case r.Value.IsAbsent():
		return Take(l, "the other side says nothing"), true
	default:
		return Decision{}, false
	}
}

// orElse makes a resolver that decides by try and hands on to otherwise, with
// the reason, where try cannot tell.
func orElse(name string, traits Traits, otherwise Resolver, faults []string, try func(c Conflict) (d Decision, why string)) Resolver {
	return build(name, traits, []Resolver{otherwise}, faults, func(ctx context.Context, c Conflict) Decision {
		if d, ok := settled(c); ok {
			return d
		}
		d, why := try(c)
		if d.Verdict == Undecided {
			return handOn(ctx, otherwise, c, why)
		}
		return d
	})
}

// said names a side for a reason.
func said(s Side) string {
	if s.System == "" {
		return "the agreed value"
	}
	return string(s.System)
}
