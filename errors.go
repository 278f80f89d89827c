package dovetail

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// A Class says what a failure means for the work that met it: whether the work
// may be repeated, when, and whether a person is needed. Errors are classified
// once, where they arise. The zero value is Unclassified.
type Class uint8

// The classes of failure.
const (
	// Unclassified: nobody said. Reads may be repeated; a write without an
	// idempotency key is not.
	Unclassified Class = iota
	// Invalid: the record is bad. Repeating it as it is cannot help.
	Invalid
	// Conflict: the record's version moved under the write. Read again, decide
	// again.
	Conflict
	// NotFound: the record does not exist, or no longer.
	NotFound
	// Auth: the credentials are missing, expired or not allowed.
	Auth
	// RateLimited: the system asks to be called later; see RetryAfter.
	RateLimited
	// Unavailable: the system as a whole is down. Nobody's attempt is burnt.
	Unavailable
	// Transient: this attempt failed and had no effect, the next may succeed.
	Transient
	// InDoubt: the write was sent and its outcome is unknown. It is looked up
	// before it is ever repeated.
	InDoubt
	// Permanent: will never succeed, for a reason other than the record.
	Permanent
)

var classNames = [...]string{"unclassified", "invalid", "conflict", "not-found", "auth", "rate-limited", "unavailable", "transient", "in-doubt", "permanent"}

// String returns the class in lower case, as it stands in logs and columns:
// "rate-limited".
func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return "class(" + strconv.Itoa(int(c)) + ")"
}

// ParseClass returns the class that String names, and false for any other text.
func ParseClass(s string) (Class, bool) {
	for i, name := range classNames {
		if s == name {
			return Class(i), true
		}
	}
	return Unclassified, false
}

// Retryable reports whether the same work may be tried again by itself. InDoubt
// is not: it must be looked up first.
func (c Class) Retryable() bool {
	return c == RateLimited || c == Unavailable || c == Transient
}

// An Error is a failure with its class. Endpoints and handlers return it (or any
// error with a Class method) so that the library does not have to guess. It is
// immutable once returned and may be shared between goroutines.
type Error struct {
	// Fault says what the failure means. Required.
	Fault Class
	// Op is what was being done: "create invoice".
	Op string
	// Ref is the record it was done to, if one.
	Ref Ref
	// Code is the system's own code for the failure, low in cardinality: an HTTP
	// status, "DUPLICATE_VALUE". It becomes part of the cause in alerts.
	Code string
	// Field is the field at fault, if one.
	Field string
	// After is how long the system asked to wait. Zero: it did not say.
	After time.Duration
	// Err is the underlying error.
	Err error
}

// NewError returns an Error of class with a formatted cause, as fmt.Errorf would
// make it (%w included).
func NewError(class Class, op string, format string, args ...any) *Error {
	return &Error{Fault: class, Op: op, Err: fmt.Errorf(format, args...)}
}

// Error returns "op ref: code: cause", leaving out what is not known.
func (e *Error) Error() string {
	if e == nil {
		return Unclassified.String()
	}
	s := e.Op
	if !e.Ref.IsZero() {
		s = join(s, " ", e.Ref.String())
	}
	if e.Field != "" {
		s = join(s, ": ", "field "+strconv.Quote(e.Field))
	}
	if e.Code != "" {
		s = join(s, ": ", e.Code)
	}
	if e.Err != nil {
		s = join(s, ": ", e.Err.Error())
	}
	if s == "" {
		return e.Fault.String()
	}
	return s
}

func join(a, sep, b string) string {
	if a == "" {
		return b
	}
	return a + sep + b
}

// Unwrap returns the underlying error.
func (e *Error) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Err
}

// classer is what an error implements to say its class.
type classer interface{ Class() Class }

// waiter is what an error implements to ask for a wait.
type waiter interface{ RetryAfter() time.Duration }

// Class returns e.Fault. Any error with this method is classified by it.
func (e *Error) Class() Class {
	if e == nil {
		return Unclassified
	}
	return e.Fault
}

// RetryAfter returns e.After. Any error with this method can ask for a wait.
func (e *Error) RetryAfter() time.Duration {
	if e == nil {
		return 0
	}
	return e.After
}

// Classify returns the class of err: what the first error in its chain that
// knows says of itself with a Class method. One that answers Unclassified does
// not know, and what it wraps is asked. An expired deadline that nobody
// classified is Transient, since what timed out has not been said to be a write;
// an error that nobody classified is Unclassified. Classify(nil) is
// Unclassified.
func Classify(err error) Class {
	class := Unclassified
	walk(err, func(err error) bool {
		if c, ok := err.(classer); ok { // walk unwraps, not errors.As
			class = c.Class()
		}
		return class != Unclassified
	})
	if class == Unclassified && errors.Is(err, context.DeadlineExceeded) {
		return Transient
	}
	return class
}

// RetryAfter returns how long the system behind err asked to wait: what the
// first error in its chain says that asks for a wait above zero. It returns false
// if none did.
func RetryAfter(err error) (time.Duration, bool) {
	var wait time.Duration
	walk(err, func(err error) bool {
		if h, ok := err.(waiter); ok { // walk unwraps, not errors.As
			wait = max(0, h.RetryAfter())
		}
		return wait > 0
	})
	return wait, wait > 0
}

// walk visits err and what it wraps, in the order of errors.As, until visit
// returns true. It looks at each error by itself: errors.As would stop at the
// first that has the method, also when that one has nothing to say.
func walk(err error, visit func(error) bool) bool {
	for err != nil {
		if visit(err) {
			return true
		}
		switch e := err.(type) { //nolint:errorlint // each error of the chain by itself
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			for _, inner := range e.Unwrap() {
				if walk(inner, visit) {
					return true
				}
			}
			return false
		default:
			return false
		}
	}
	return false
}
