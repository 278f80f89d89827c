package retry

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tectari/dovetail"
)

// An Error is a call that did not succeed. Its text names the system, the method,
// the URL without user info and query, and the reason; it holds no secret and
// nothing of a body. It is immutable.
type Error struct {
	// System is whose API it was.
	System dovetail.System
	// Op is the request: "POST https://api.example.com/invoices".
	Op string
	// Status is the API's answer, zero if there was none.
	Status int
	// Code is the API's own code for the failure, if its answer was
	// problem+json: the last part of its type, or its code.
	Code string
	// RequestID is the API's name for the request, for its support.
	RequestID string
	// Attempts is how often the request was sent.
	Attempts int
	// RetryAt is when to come again, zero if nobody said.
	RetryAt time.Time
	// Local says that the request was refused here, and not by the API.
	Local bool
	// Problem is the body of a problem+json answer, nil if it was none. It is the
	// API's text and may hold values of the record: it is not part of Error().
	Problem *Problem
	// Err is the cause, without secrets.
	Err error

	class   dovetail.Class
	undone  bool
	nothing bool // no attempt left the process
}

// Error returns "system: METHOD url: status or reason".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(string(e.System))
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	b.WriteString(e.Op)
	if e.Status != 0 {
		b.WriteString(": " + strconv.Itoa(e.Status) + " " + http.StatusText(e.Status))
	}
	if e.Code != "" {
		b.WriteString(" (" + e.Code + ")")
	}
	if e.Local {
		b.WriteString(": not sent now")
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if e.Attempts > 1 {
		b.WriteString(" (after " + strconv.Itoa(e.Attempts) + " attempts)")
	}
	if e.class == dovetail.InDoubt {
		b.WriteString("; it may have had its effect")
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Class says what the failure means.
func (e *Error) Class() dovetail.Class { return e.class }

// RetryAfter returns how long from now to wait, zero if nobody said.
func (e *Error) RetryAfter() time.Duration {
	if e.RetryAt.IsZero() {
		return 0
	}
	return max(0, time.Until(e.RetryAt))
}

// NotApplied reports whether it is proven that the request had no effect: no
// attempt left the process, or the answer says so and no attempt before it is in
// doubt.
func (e *Error) NotApplied() bool { return e.undone }

// Timeout reports whether the cause was a timeout, as net.Error has it.
func (e *Error) Timeout() bool {
	return errors.Is(e.Err, errTimeout) || errors.Is(e.Err, context.DeadlineExceeded)
}

// Unsent reports whether err proves that no attempt of the request left the
// process: it was refused here, or no connection came about.
func Unsent(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.nothing && e.undone
}

// refusedError is a refusal as a cause.
type refusedError struct{ no *refusal }

func (h *refusedError) Error() string {
	s := string(h.no.why)
	if h.no.err != nil {
		if s != "" {
			s += ": "
		}
		s += h.no.err.Error()
	}
	return s
}

// Unwrap returns the context's error, if that ended the wait.
func (h *refusedError) Unwrap() error { return h.no.err }

// failure returns the error for a call without an answer.
func (t *Transport) failure(req *http.Request, v verdict, cause error, tr trail) *Error {
	e := &Error{
		System: t.cfg.System, Op: op(req), Attempts: tr.attempts,
		class: v.class, undone: v.undone && !tr.doubt, nothing: v.undone && !tr.doubt,
		Err: scrub(cause, req),
	}
	if v.hint > 0 {
		e.RetryAt = time.Now().Add(v.hint)
	}
	return e
}

// fail is failure, with the breaker's time to come again.
func (t *Transport) fail(req *http.Request, v verdict, cause error, tr trail) error {
	e := t.failure(req, v, cause, tr)
	if v.class == dovetail.Unavailable && !dovetail.IsProbe(req.Context()) { // who probes has a time of its own
		if until, down := t.gate.down(); down && until.After(e.RetryAt) {
			e.RetryAt = until
		}
	}
	return e
}

// op names a request without user info, query and fragment.
func op(req *http.Request) string {
	method := req.Method
	if method == "" {
		method = http.MethodGet
	}
	return method + " " + plain(req.URL)
}

func plain(u *url.URL) string {
	if u == nil {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// Redact returns err without what *http.Client puts around it: the URL with its
// query. Do and JSON have done it. Redact(nil) is nil.
func Redact(err error) error {
	if u, ok := err.(*url.Error); ok { //nolint:errorlint // only the outermost is net/http's
		if _, ours := errors.AsType[*Error](u.Err); ours {
			return u.Err
		}
		at, perr := url.Parse(u.URL)
		if perr != nil {
			at = nil
		}
		return scrub(u.Err, &http.Request{Method: u.Op, URL: at})
	}
	return err
}
