package retry

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/tectari/dovetail"
)

// started tells the observer that an attempt begins, and adds the headers by
// which it hands on a trace. It returns false if nobody wants to know.
func (t *Transport) started(out **http.Request, n int) (context.Context, bool) {
	req := *out
	if t.cfg.Observer == nil {
		return req.Context(), true
	}
	e := dovetail.Event{Name: "retry.attempt", Time: time.Now(), System: t.cfg.System, Attempt: n, Why: op(req), Headers: map[string]string{}}
	ctx := t.cfg.Observer.Start(req.Context(), e)
	*out = req.WithContext(ctx)
	if len(e.Headers) > 0 {
		h := req.Header.Clone()
		if h == nil {
			h = http.Header{}
		}
		for k, v := range e.Headers {
			h.Set(k, v)
		}
		(*out).Header = h
	}
	return ctx, true
}

// ended reports an attempt. Without an observer only one that failed and may be
// repeated is reported: any other is the caller's to see.
func (t *Transport) ended(ctx context.Context, out *http.Request, f facts, r result, n int, at time.Time) {
	if t.cfg.Observer == nil && r.err == nil && r.resp.StatusCode < 400 {
		return
	}
	v := t.judge(ctx, f, r)
	last := !v.again || n >= t.cfg.Attempts
	if t.cfg.Observer == nil && last {
		return
	}
	e := dovetail.Event{Name: "retry.attempt", Time: at, Duration: r.took, System: t.cfg.System, Attempt: n, Class: v.class, Outcome: "error", Why: op(out)}
	if r.resp != nil {
		e.Outcome = strconv.Itoa(r.resp.StatusCode)
	}
	if r.err != nil || v.class != dovetail.Unclassified {
		status := 0
		if r.resp != nil {
			status = r.resp.StatusCode
		}
		e.Err = &Error{System: t.cfg.System, Op: op(out), Status: status, Attempts: 1, class: v.class, Err: scrub(r.err, out)}
	}
	dovetail.ObserverOr(t.cfg.Observer).Record(ctx, e)
}

// throttled reports a call that was not let through.
func (t *Transport) throttled(req *http.Request, no *refusal) {
	if t.cfg.Observer == nil {
		return // the caller gets the error
	}
	t.cfg.Observer.Record(req.Context(), dovetail.Event{
		Name: "retry.throttled", Time: time.Now(), System: t.cfg.System, Outcome: "refused", Why: string(no.why),
		Duration: max(0, time.Until(no.at)),
	})
}

// breakerEvent reports that the breaker moved.
func (t *Transport) breakerEvent(req *http.Request, was, is phase) {
	e := dovetail.Event{
		Name: "retry.breaker", Time: time.Now(), System: t.cfg.System,
		Outcome: phaseNames[is], Why: "was " + phaseNames[was],
	}
	if is == open {
		e.Class = dovetail.Unavailable
		e.Err = &Error{System: t.cfg.System, Op: "breaker open", class: dovetail.Unavailable}
	}
	dovetail.ObserverOr(t.cfg.Observer).Record(req.Context(), e)
}
