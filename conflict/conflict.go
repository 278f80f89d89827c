// Package conflict decides what happens when two systems changed a field that
// they share.
//
// A [Resolver] gets a [Conflict] and answers with a [Decision]: take a side, set
// a new value, or park the field for a person and say why. There is no silent
// winner: the zero Decision is refused, and every decision carries its reason.
//
// # Guarantees
//
// A resolver built by this package is deterministic, does no I/O and may be
// called concurrently. It never decides on missing evidence: where it cannot
// tell (no time known, inside the clock skew, values that cannot be compared, no
// base for a merge) it parks or hands on to the resolver it was given for that
// case. It is order-free: with Left and Right exchanged it decides for the same
// value. Two sides that agree are never a conflict, and a side that says nothing
// (absent) never wins. A resolver that was built wrongly parks everything and
// says so in its Check method. [Decide] turns whatever a resolver does, an error,
// a panic, a forgotten return, into a Decision, without values in its reason.
//
// What is not promised: that a custom resolver is any of these;
// [github.com/tectari/dovetail/conflict/conflicttest] checks one.
package conflict

import (
	"context"
	"errors"
	"time"

	"github.com/tectari/dovetail"
)

// A Side is what one system says of the field, with what is known about how it
// came to say so.
type Side struct {
	// System is who says it.
	System dovetail.System
	// Value is the field's content there.
	Value dovetail.Value
	// At is when that system says the record was changed, by its own clock. The
	// zero time means that it does not say.
	At time.Time
	// By is who changed it there, if the system tells.
	By string
	// Version is that system's version of the record, if it has one.
	Version string
}

// A Conflict is one field of one record that two systems set since they last
// agreed. Left is the side whose value is canonical now (held to be right until
// this moment), Right the system that was just observed. Sides holds what every
// system that shares the field last showed, Left and Right among them.
type Conflict struct {
	Link  string
	Key   string
	Field string
	// Base is the value both sides last agreed on; absent when not known.
	Base  dovetail.Value
	Left  Side
	Right Side
	Sides []Side
}

// Ref names the record on the right side's system, for messages.
func (c Conflict) Ref() string { return c.Link + "/" + c.Key }

// A Verdict is the kind of a Decision.
type Verdict uint8

// The verdicts. The zero Verdict is invalid on purpose: a resolver that forgets
// to decide writes nothing.
const (
	Undecided Verdict = iota
	// Taken: the value of one side.
	Taken
	// New: a value that neither side need have.
	New
	// Parked: a person decides; this field of this record stops meanwhile.
	Parked
)

// String returns the verdict in lower case.
func (v Verdict) String() string {
	switch v {
	case Taken:
		return "taken"
	case New:
		return "new"
	case Parked:
		return "parked"
	default:
		return "undecided"
	}
}

// A Decision is what a resolver answers. Make one with Take, Set or ParkFor; the
// zero Decision is refused with ErrUndecided. By is filled in by the resolver
// that decided ("latest", "prefer").
type Decision struct {
	Verdict Verdict
	System  dovetail.System
	Value   dovetail.Value
	Why     string
	By      string
}

// Take decides for the value of side s. Why is the reason, without values.
func Take(s Side, why string) Decision {
	return Decision{Verdict: Taken, System: s.System, Value: s.Value, Why: why}
}

// Set decides for a value that neither side need have.
func Set(v dovetail.Value, why string) Decision {
	return Decision{Verdict: New, Value: v, Why: why}
}

// ParkFor decides to wait for a person. Why says what they must settle.
func ParkFor(why string) Decision { return Decision{Verdict: Parked, Why: why} }

// ErrUndecided is returned where a resolver answered with the zero Decision.
var ErrUndecided = errors.New("conflict: resolver decided nothing")

// A Resolver decides conflicts. It must be deterministic and safe for concurrent
// use, and must do no I/O: it is called inside a database transaction. An error
// parks the field with the error's text as its reason; say in it what is wrong,
// not what the values are.
//
// A Resolver may also have the methods Name() string (what decisions are signed
// with), Check() error (what is wrong with how it was built, asked before
// anything runs) and Traits() Traits (what it promises).
type Resolver interface {
	Resolve(ctx context.Context, c Conflict) (Decision, error)
}

// Func makes a Resolver of a function.
type Func func(ctx context.Context, c Conflict) (Decision, error)

// Resolve calls f.
func (f Func) Resolve(ctx context.Context, c Conflict) (Decision, error) { return f(ctx, c) }

// Fields names the resolver of each shared field.
type Fields map[string]Resolver
