package dovetailtest

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// An HTTPFault is one thing that goes wrong between a client and an API: it gets
// the request and the way on. It keeps the contract of http.RoundTripper and is
// safe for concurrent use.
type HTTPFault func(req *http.Request, next http.RoundTripper) (*http.Response, error)

// Faulty puts faults before inner; the first is the nearest to the client.
func Faulty(inner http.RoundTripper, faults ...HTTPFault) http.RoundTripper {
	for _, fault := range slices.Backward(faults) {
		inner = &faulty{fault: fault, next: inner}
	}
	return inner
}

type faulty struct {
	fault HTTPFault
	next  http.RoundTripper
}

// RoundTrip lets the fault happen.
func (f *faulty) RoundTrip(req *http.Request) (*http.Response, error) { return f.fault(req, f.next) }

// On lets fault happen to the requests with the given numbers, from 1, in the
// order in which they come; the others pass.
func On(fault HTTPFault, numbers ...int64) HTTPFault {
	var n atomic.Int64
	return func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		if slices.Contains(numbers, n.Add(1)) {
			return fault(req, next)
		}
		return next.RoundTrip(req)
	}
}

// If lets fault happen to the requests that want is true of; the others pass.
func If(want func(*http.Request) bool, fault HTTPFault) HTTPFault {
	return func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		if want(req) {
			return fault(req, next)
		}
		return next.RoundTrip(req)
	}
}

// Refused is an error before anything is sent: nobody listens.
func Refused() HTTPFault {
	return func(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
		closeRequest(req)
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
}

// LostReply lets the API do what was asked and loses its answer.
func LostReply() HTTPFault {
	return func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		resp, err := next.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		_, _ = io.Copy(io.Discard, resp.Body) // it is lost
		_ = resp.Body.Close()
		return nil, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	}
}

// Cut lets the API answer and breaks its body off after n bytes.
func Cut(n int) HTTPFault {
	return func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		resp, err := next.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		head, _ := io.ReadAll(io.LimitReader(resp.Body, int64(n))) // what arrives
		_ = resp.Body.Close()
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(head), broken{}))
		return resp, nil
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Answer answers instead of the API. The headers are name and value in turn.
func Answer(status int, body string, headers ...string) HTTPFault {
	return func(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
		h := http.Header{}
		for i := 0; i+1 < len(headers); i += 2 {
			h.Set(headers[i], headers[i+1])
		}
		answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			maps.Copy(w.Header(), h)
			w.WriteHeader(status)
			_, _ = io.Copy(w, strings.NewReader(body)) // the client may have left
		})
		return Transport(answer).RoundTrip(req)
	}
}

// TooMany is a 429 with a Retry-After, if that is not empty.
func TooMany(retryAfter string) HTTPFault {
	if retryAfter == "" {
		return Answer(http.StatusTooManyRequests, "")
	}
	return Answer(http.StatusTooManyRequests, "", "Retry-After", retryAfter)
}

// Slow holds each request up for d before it is sent.
func Slow(d time.Duration) HTTPFault {
	return func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return next.RoundTrip(req)
		case <-req.Context().Done():
			closeRequest(req)
			return nil, context.Cause(req.Context())
		}
	}
}

// Hang never answers: it waits for the request's context.
func Hang() HTTPFault {
	return func(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
		defer closeRequest(req)
		<-req.Context().Done()
		return nil, context.Cause(req.Context())
	}
}

// An Outage is a switch before a fault: while it is down the fault happens to
// every request. The zero value is up. It is safe for concurrent use.
type Outage struct {
	mu   sync.Mutex
	with HTTPFault
	hits int
}

// Down begins the outage; nil means Refused.
func (o *Outage) Down(with HTTPFault) {
	if with == nil {
		with = Refused()
	}
	o.mu.Lock()
	o.with = with
	o.mu.Unlock()
}

// Up ends the outage.
func (o *Outage) Up() {
	o.mu.Lock()
	o.with = nil
	o.mu.Unlock()
}

// Hits returns how many requests came while it was down.
func (o *Outage) Hits() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.hits
}

// Fault is the outage as a fault, for Faulty.
func (o *Outage) Fault(req *http.Request, next http.RoundTripper) (*http.Response, error) {
	o.mu.Lock()
	with := o.with
	if with != nil {
		o.hits++
	}
	o.mu.Unlock()
	if with != nil {
		return with(req, next)
	}
	return next.RoundTrip(req)
}
