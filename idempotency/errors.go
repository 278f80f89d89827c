package idempotency

import (
	"errors"
	"fmt"
	"time"

	"github.com/tectari/dovetail"
)

// Errors of Upserter, Do and Resolve. They carry a class and, where they know it,
// when to come back: see dovetail.Classify and dovetail.RetryAfter.
var (
	// ErrWait: nothing failed, it is only too early; come back when WaitOf says.
	// ErrInProgress always wraps it, ErrInDoubt where a look-up must wait.
	ErrWait = errors.New("idempotency: too early")
	// ErrInProgress: another worker has the key.
	ErrInProgress = errors.New("idempotency: in progress elsewhere")
	// ErrInDoubt: the write was sent and its outcome is not known. Of class
	// InDoubt it waits for a person (see Resolve); of any other class a later
	// call settles it.
	ErrInDoubt = errors.New("idempotency: outcome unknown")
	// ErrKeyReused: the key was used for another payload or another kind of
	// write. Nothing was sent.
	ErrKeyReused = errors.New("idempotency: key was used for something else")
	// ErrAmbiguous: the look-up found more than one record. A person decides.
	ErrAmbiguous = errors.New("idempotency: more than one record found")
	// ErrFenced: another worker took over after the lease; its word counts.
	ErrFenced = errors.New("idempotency: taken over by another worker")
	// ErrNoUpdate: Upsert was called and the Target can change nothing.
	ErrNoUpdate = errors.New("idempotency: Upsert needs Target.Upsert or Target.Update")
)

// NotApplied returns err with the proof that the write did not happen: it was
// never sent, or the answer says so. Without it an error is proof only if
// dovetail.Classify says Invalid, Auth or RateLimited; everything else leaves the
// write in doubt, also Unavailable and Transient, since a system that answers 503
// or not at all may have done it. An error that has a method NotApplied() bool and
// answers true is proof as well, such as those of package retry. NotApplied(nil)
// is nil.
func NotApplied(err error) error {
	if err == nil {
		return nil
	}
	return &notAppliedError{err}
}

type notAppliedError struct{ err error }

func (e *notAppliedError) Error() string { return e.err.Error() }
func (e *notAppliedError) Unwrap() error { return e.err }

// NotApplied makes it proof; any error with this method is, when it says true.
func (e *notAppliedError) NotApplied() bool { return true }

// proof reports whether err proves that the write did not happen. The first in
// the chain that knows decides: InDoubt around a NotApplied is a doubt.
func proof(err error) bool {
	found, decided := false, false
	var look func(error)
	look = func(err error) {
		for err != nil && !decided {
			if n, ok := err.(interface{ NotApplied() bool }); ok && n.NotApplied() {
				found, decided = true, true
				return
			}
			if c, ok := err.(interface{ Class() dovetail.Class }); ok && c.Class() != dovetail.Unclassified {
				found, decided = refusal(c.Class()), true
				return
			}
			switch e := err.(type) { //nolint:errorlint // as above
			case interface{ Unwrap() error }:
				err = e.Unwrap()
			case interface{ Unwrap() []error }:
				for _, inner := range e.Unwrap() {
					look(inner)
				}
				return
			default:
				return
			}
		}
	}
	look(err)
	return found
}

// refusal reports whether a class by itself says that nothing happened.
func refusal(c dovetail.Class) bool {
	return c == dovetail.Invalid || c == dovetail.Auth || c == dovetail.RateLimited
}

// WaitOf returns how long to wait when err says that it is only too early: a
// queue's handler defers its message and burns no attempt. It returns false for
// every other error, nil included.
func WaitOf(err error) (time.Duration, bool) {
	if !errors.Is(err, ErrWait) {
		return 0, false
	}
	after, _ := dovetail.RetryAfter(err)
	return max(after, time.Millisecond), true
}

// tooEarly says that why holds until after is over.
func tooEarly(why error, after time.Duration) error {
	return &dovetail.Error{Fault: dovetail.Transient, After: max(after, time.Millisecond), Err: fmt.Errorf("%w: %w", why, ErrWait)}
}

// needsPerson says that the outcome is unknown and that nothing but a person can
// find it out.
func needsPerson(why error) error {
	return &dovetail.Error{Fault: dovetail.InDoubt, Err: why}
}

// unsettled says that the outcome is unknown because of cause, and that a later
// call settles it. The class is one that a queue repeats by itself.
func unsettled(cause error) error {
	class := dovetail.Classify(cause)
	if !class.Retryable() && class != dovetail.Auth {
		class = dovetail.Transient
	}
	after, _ := dovetail.RetryAfter(cause)
	return &dovetail.Error{Fault: class, After: after, Err: fmt.Errorf("%w: %w", ErrInDoubt, cause)}
}
