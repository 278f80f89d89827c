package retry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/tectari/dovetail"
)

// trail is what a call did so far.
type trail struct {
	attempts int
	waited   time.Duration
	doubt    bool // an attempt before the last may have had its effect
}

// call is a request that is sent a second time or more. It is the context of the
// engine's request, so that every hook knows what is repeated. The engine runs
// the loop; it sees a placeholder for request and answer and so cannot buffer a
// body, drain an answer, follow a redirect or name a URL.
type call struct {
	context.Context //nolint:containedctx // the call is the engine's context
	t               *Transport
	req             *http.Request
	body            *held
	f               facts
	trail           trail
	last            result
	v               verdict
	permit          permit
	begun           bool
	err             error // of this package, if that ended the call
}

type callKey struct{}

// Value returns the call itself for callKey.
func (c *call) Value(key any) any {
	if key == (callKey{}) {
		return c
	}
	return c.Context.Value(key)
}

func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

var errStop = errors.New("stop")

// newEngine returns the engine with its hooks. Its own policy, back-off, limit,
// log and connection pool are switched off.
func newEngine(t *Transport) *retryablehttp.Client {
	return &retryablehttp.Client{
		HTTPClient: &http.Client{
			Transport:     attempts{},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		RetryMax: 1 << 30,
		CheckRetry: func(ctx context.Context, _ *http.Response, _ error) (bool, error) {
			c := callOf(ctx)
			return c.v.again && c.trail.attempts < t.cfg.Attempts, nil
		},
		Backoff:      func(_, _ time.Duration, _ int, _ *http.Response) time.Duration { return 0 },
		PrepareRetry: func(req *http.Request) error { return callOf(req.Context()).prepare() },
		ErrorHandler: func(_ *http.Response, err error, _ int) (*http.Response, error) { return nil, err },
	}
}

// attempts is the engine's transport. It has no CloseIdleConnections on purpose:
// the engine would empty the pool of every caller after each failed call.
type attempts struct{}

// RoundTrip makes the next attempt of the call; the first was made already.
func (attempts) RoundTrip(req *http.Request) (*http.Response, error) {
	c := callOf(req.Context())
	if c.begun {
		c.trail.doubt = c.trail.doubt || c.v.doubt
		c.trail.attempts++
		c.last = c.t.attempt(c.req, c.body, c.f, c.permit, c.trail.attempts)
		c.v = c.t.settle(c.req, c.f, &c.last, c.trail.attempts)
	}
	c.begun = true
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: req}, nil
}

// placeholder is all that the engine knows of a request.
var placeholder = &url.URL{Scheme: "http", Host: "placeholder.invalid"}

// repeat runs the engine after a first attempt that may be repeated.
func (t *Transport) repeat(req *http.Request, body *held, f facts, r result, v verdict, waited time.Duration) (*http.Response, error) {
	c := &call{Context: req.Context(), t: t, req: req, body: body, f: f, last: r, v: v, trail: trail{attempts: 1, waited: waited}}
	inner := (&http.Request{Method: http.MethodGet, URL: placeholder, Host: placeholder.Host, Header: http.Header{}}).WithContext(c)
	resp, err := t.engine.Do(&retryablehttp.Request{Request: inner})
	if resp != nil {
		_ = resp.Body.Close() // the placeholder
	}
	if c.err != nil {
		if c.body != nil {
			c.body.finish()
		}
		if c.last.resp != nil {
			_ = c.last.resp.Body.Close() // superseded by the error
		}
		return nil, c.err
	}
	if end := context.Cause(req.Context()); err != nil && end != nil && c.last.err != nil {
		c.last.err = errors.Join(end, c.last.err) // it ended between two attempts
	}
	return t.finish(req, body, f, c.last, c.v, c.trail)
}

// prepare waits until the next attempt may go. It returns errStop if the call
// ends here, with the last answer untouched where there is one.
func (c *call) prepare() error {
	t, left := c.t, c.t.cfg.MaxInlineWait-c.trail.waited
	if c.Err() != nil || !c.replayable() {
		return errStop
	}
	wait := max(c.v.hint, t.backoff(c.trail.attempts, c.v.slow))
	if c.v.hint == 0 && !t.budget.spend() {
		c.v.hint = max(wait, t.cfg.Backoff.Base) // callers must not spin
		return errStop
	}
	if until, down := t.gate.down(); down {
		wait = max(wait, time.Until(until))
	}
	if d, ok := c.Deadline(); wait > left || ok && time.Until(d) < wait+c.last.took {
		c.v.hint = max(c.v.hint, wait)
		return errStop
	}
	whole := keep(c.last.resp)
	began := time.Now()
	if !sleep(c, wait) {
		if c.last.resp != nil && !whole {
			_ = c.last.resp.Body.Close() // a part of it is gone
			c.last.resp, c.last.err = nil, fmt.Errorf("status %d", c.last.resp.StatusCode)
		}
		return errStop
	}
	var no *refusal
	c.permit, _, no = t.gate.admit(c, left-time.Since(began), c.f.repeatable())
	c.trail.waited += time.Since(began)
	if no == nil {
		if c.last.resp != nil {
			_ = c.last.resp.Body.Close() // superseded by the next answer
			c.last.resp = nil
		}
		return nil
	}
	t.throttled(c.req, no)
	if c.last.resp == nil || !whole {
		tr := c.trail
		tr.doubt = tr.doubt || c.v.doubt
		c.err = t.local(c.req, no, tr, c.f)
	}
	c.v.hint = max(c.v.hint, time.Until(no.at))
	return errStop
}

// replayable reports whether the body can be had again.
func (c *call) replayable() bool { return c.body == nil || c.body.again() }

// sleep waits for d, and returns false if the context ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// How much of an answer is kept while a call waits, and for how long it is read.
const (
	keepBytes = 64 << 10
	keepFor   = 200 * time.Millisecond
)

// keep reads an answer that may yet be the last into memory, so that its
// connection and its slots are free while the call waits. It returns false if the
// answer is longer, or slower, than is worth waiting for; then it is gone.
func keep(resp *http.Response) bool {
	if resp == nil {
		return false
	}
	src := resp.Body
	timer := time.AfterFunc(keepFor, func() { _ = src.Close() }) // ends the Read below
	b, err := io.ReadAll(io.LimitReader(src, keepBytes+1))
	timer.Stop()
	_ = src.Close() // it was only read
	resp.Body = io.NopCloser(bytes.NewReader(b))
	return err == nil && len(b) <= keepBytes
}

// local is the error for a call that the gate did not let through.
func (t *Transport) local(req *http.Request, no *refusal, tr trail, f facts) error {
	v := verdict{class: dovetail.RateLimited, undone: !tr.doubt}
	if no.why == byBreaker {
		v.class = dovetail.Unavailable
	}
	if no.err != nil && !errors.Is(no.err, context.DeadlineExceeded) {
		v.class = dovetail.Transient
	}
	v.class = v.after(tr.doubt, f)
	e := t.failure(req, v, &refusedError{no}, tr)
	e.Local, e.RetryAt = true, no.at
	return e
}
