package retry

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/tectari/dovetail"
)

// A Transport is an http.RoundTripper for one API. It hands back the API's answer
// whatever its status; where there is none, the error is an *Error. It is safe for
// concurrent use, starts no goroutine of its own, and is made by NewTransport:
// the zero value is not ready.
type Transport struct {
	cfg    Config
	gate   *gate
	budget *budget
	engine *retryablehttp.Client
	jitter func() float64
}

// NewTransport returns a Transport, or every fault of cfg at once.
func NewTransport(cfg Config) (*Transport, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	t := &Transport{cfg: cfg, gate: newGate(cfg), budget: newBudget(cfg.Budget), jitter: rand.Float64}
	t.engine = newEngine(t)
	return t, nil
}

// RoundTrip sends req within the limits, as often as may be. It closes the body.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	f := t.facts(req)
	if err := valid(req); err != nil {
		closeBody(req)
		return nil, t.fail(req, verdict{class: dovetail.Permanent, undone: true}, err, trail{})
	}
	t.budget.add(max(0, t.cfg.Budget.Ratio))
	probe := dovetail.IsProbe(req.Context()) && t.gate.probe()
	p, waited, no := t.gate.admit(req.Context(), t.cfg.MaxInlineWait, f.repeatable())
	if no != nil {
		closeBody(req)
		t.throttled(req, no)
		return nil, t.local(req, no, trail{waited: waited}, f)
	}
	body := hold(req)
	r := t.attempt(req, body, f, p, 1)
	v := t.settle(req, f, &r, 1)
	if v.again && t.cfg.Attempts > 1 && !probe { // a probe asks once; whoever sent it asks again
		return t.repeat(req, body, f, r, v, waited)
	}
	return t.finish(req, body, f, r, v, trail{attempts: 1, waited: waited})
}

// CloseIdleConnections closes the idle connections of the base.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.cfg.Base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// valid reports what would fail before anything is sent, in words of its own.
func valid(req *http.Request) error {
	if req.URL == nil || req.URL.Host == "" || (req.URL.Scheme != "http" && req.URL.Scheme != "https") {
		return errScheme
	}
	if req.Response != nil && strays(req) {
		return errOrigin
	}
	return nil
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close() // nothing was read
	}
}

// settle judges an attempt and tells the gate.
func (t *Transport) settle(req *http.Request, f facts, r *result, n int) verdict {
	v := t.judge(req.Context(), f, *r)
	pause := v.hint
	if pause > 0 {
		pause += time.Duration(t.jitter() * float64(min(pause/10, 5*time.Second))) // later only
	}
	was, is := t.gate.settle(r.permit, !r.unsent, v.health, pause, r.took)
	if r.err != nil {
		t.gate.release()
	}
	if was != is {
		t.breakerEvent(req, was, is)
	}
	return v
}

// finish hands back what a call came to.
func (t *Transport) finish(req *http.Request, body *held, f facts, r result, v verdict, tr trail) (*http.Response, error) {
	if body != nil {
		body.finish()
	}
	if r.err != nil {
		v.class = v.after(tr.doubt, f)
		return nil, t.fail(req, v, r.err, tr)
	}
	if r.resp.StatusCode >= 400 {
		t.annotate(r.resp, req, f, v, tr)
	} else if tr.attempts > 1 {
		t.budget.add(1)
	}
	return r.resp, nil
}

// backoff is the wait before attempt n+1, where the API named none.
func (t *Transport) backoff(n int, slow bool) time.Duration {
	base := t.cfg.Backoff.Base
	if slow {
		base *= 2
	}
	limit := t.cfg.Backoff.Cap
	if n < 32 && base<<(n-1) > 0 {
		limit = min(limit, base<<(n-1))
	}
	return time.Duration(t.jitter() * float64(limit))
}

// attempt sends req once.
func (t *Transport) attempt(req *http.Request, body *held, f facts, p permit, n int) result {
	ctx, started := req.Context(), time.Now()
	r := result{permit: p}
	out, watch, a, err := t.dress(ctx, req, body, f, n)
	if err != nil {
		r.err, r.unsent = err, true
		return r
	}
	octx, ended := t.started(&out, n)
	r.resp, r.err = t.cfg.Base.RoundTrip(out) //nolint:bodyclose // the caller's, or closed before the next attempt
	r.took = time.Since(started)
	if r.err == nil && r.resp == nil {
		r.err = errNothing
	}
	if r.err != nil {
		if r.resp != nil && r.resp.Body != nil {
			_ = r.resp.Body.Close() // a base that returns both breaks its contract
		}
		r.resp = nil
		r.unsent = unsent(r.err, watch)
		if a != nil {
			if a.fired() && ctx.Err() == nil {
				r.err = errTimeout
			}
			a.end()
		}
	} else {
		t.wrap(r.resp, a)
	}
	if ended {
		t.ended(octx, out, f, r, n, started)
	}
	return r
}

// dress returns the request to send: req itself where nothing has to be added.
func (t *Transport) dress(ctx context.Context, req *http.Request, body *held, f facts, n int) (*http.Request, *wire, *timeout, error) {
	var watch *wire
	if !f.safe {
		// Also for a write that may be repeated: net/http repeats one that carries an
		// idempotency key by itself, and what the second connection says proves
		// nothing about the first.
		watch = new(wire)
		ctx = watch.watch(ctx)
	}
	var a *timeout
	if d, ok := ctx.Deadline(); t.cfg.AttemptTimeout > 0 && (!ok || time.Until(d) > t.cfg.AttemptTimeout) {
		a = newTimeout(ctx, t.cfg.AttemptTimeout)
		ctx = a.ctx
	}
	if n == 1 && body == nil && watch == nil && a == nil {
		return req, nil, nil, nil
	}
	out := req.WithContext(ctx)
	err := redress(out, req, body, f, n)
	if err != nil && a != nil {
		a.end()
	}
	return out, watch, a, err
}

// redress gives out the body for attempt n.
func redress(out, req *http.Request, body *held, f facts, n int) error {
	switch {
	case body != nil:
		b, ok := body.open()
		if !ok {
			return errNoAgain
		}
		out.Body = b
	case n > 1 && req.GetBody != nil:
		b, err := req.GetBody()
		if err != nil {
			return errNoAgain
		}
		out.Body = b
	}
	if !f.repeatable() && (req.Header.Get("Idempotency-Key") != "" || req.Header.Get("X-Idempotency-Key") != "") {
		// net/http repeats any request with such a header by itself, if it can
		// have the body again. This API does not honour it.
		out.GetBody = nil
		if out.Body == nil || out.Body == http.NoBody {
			out.Body = io.NopCloser(nothing{})
		}
	}
	return nil
}

// nothing is an empty body of which net/http does not know that it is empty.
type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, io.EOF }
