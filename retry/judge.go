package retry

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/tectari/dovetail"
)

// result is how one attempt ended: an answer, or an error and whether anything
// can have reached the API.
type result struct {
	resp   *http.Response
	err    error
	unsent bool
	took   time.Duration
	permit permit
}

// verdict is a cell of the decision table.
type verdict struct {
	class  dovetail.Class
	again  bool          // may be sent again
	undone bool          // proven: the API did not process it
	doubt  bool          // it may have had its effect, and the answer does not say
	hint   time.Duration // the API asks everybody to wait
	slow   bool          // throttled: the first back-off is longer
	health health
}

// judge is the decision table. Rows are outcomes, columns are whether the request
// may be repeated.
func (t *Transport) judge(ctx context.Context, f facts, r result) verdict {
	if r.err != nil {
		return judgeError(ctx, f, r)
	}
	status := r.resp.StatusCode
	if status < 400 {
		return verdict{health: well}
	}
	hint := retryAfter(r.resp.Header, time.Now())
	v := judgeStatus(status, f, hint)
	if slices.Contains(t.cfg.Unprocessed, status) {
		v.again, v.undone, v.doubt = true, true, false
		if v.class == dovetail.InDoubt {
			v.class = answerless(status)
		}
	}
	if v.again || status >= 500 {
		v.hint = hint
	}
	return v
}

func judgeStatus(status int, f facts, hint time.Duration) verdict {
	v := verdict{class: classOf(status), undone: undone(status), health: well}
	switch {
	case status == http.StatusTooManyRequests, status == http.StatusForbidden && hint > 0:
		// A permission does not come back after a while: this 403 is a limit.
		v.class, v.again, v.slow = dovetail.RateLimited, true, true
	case status == http.StatusRequestTimeout, status == http.StatusMisdirectedRequest, status == http.StatusTooEarly:
		v.again = true
	case status == http.StatusConflict && f.keyed:
		v.again = true // the first request with this key is still running
	case status == http.StatusNotImplemented, status == http.StatusHTTPVersionNotSupported:
	case status >= 500:
		v.health = ill
		v.doubt = !f.safe
		if v.again = f.repeatable(); !v.again {
			v.class = dovetail.InDoubt
		}
	}
	return v
}

func judgeError(ctx context.Context, f facts, r result) verdict {
	switch {
	case isPermanent(r.err):
		v := verdict{class: dovetail.Permanent, undone: r.unsent, doubt: !r.unsent && !f.safe, health: unknown}
		if v.doubt {
			v.class = dovetail.InDoubt
		}
		return v
	case ctx.Err() != nil:
		v := verdict{class: dovetail.Transient, undone: r.unsent, doubt: !r.unsent && !f.safe, health: unknown}
		if v.doubt && !f.repeatable() {
			v.class = dovetail.InDoubt
		}
		return v
	case r.unsent:
		return verdict{class: dovetail.Unavailable, again: true, undone: true, health: ill}
	case f.repeatable():
		return verdict{class: dovetail.Transient, again: true, doubt: !f.safe, health: ill}
	default:
		return verdict{class: dovetail.InDoubt, doubt: true, health: ill}
	}
}

// undone reports whether status says that the request was not processed. 409 is
// not among them: it may answer the second of two equal requests.
func undone(status int) bool {
	switch status {
	case 400, 401, 403, 404, 405, 408, 413, 415, 421, 422, 425, 429:
		return true
	}
	return false
}

// classOf is the class of a status that does not leave a write in doubt.
func classOf(status int) dovetail.Class {
	switch status {
	case 400, 413, 422:
		return dovetail.Invalid
	case 401, 403, 407:
		return dovetail.Auth
	case 404, 410:
		return dovetail.NotFound
	case 409, 412:
		return dovetail.Conflict
	case 408, 421, 425:
		return dovetail.Transient
	case 429:
		return dovetail.RateLimited
	case 501, 505:
		return dovetail.Permanent
	}
	if status >= 500 {
		return answerless(status)
	}
	return dovetail.Permanent
}

// answerless is the class of a 5xx: whether the system is down, or this request
// failed in it.
func answerless(status int) dovetail.Class {
	switch status {
	case 502, 503, 504:
		return dovetail.Unavailable
	default:
		return dovetail.Transient
	}
}

// after is the class of a call whose last attempt was judged v, when an earlier
// one may have had its effect. A refusal of a repetition proves nothing about the
// original: where a class would be taken for such a proof, it is another.
func (v verdict) after(doubt bool, f facts) dovetail.Class {
	if !doubt || f.safe || f.native {
		return v.class
	}
	switch v.class {
	case dovetail.RateLimited:
		return dovetail.Transient // with the same key it may be repeated
	case dovetail.Invalid, dovetail.Auth, dovetail.NotFound, dovetail.Permanent:
		return dovetail.InDoubt
	default:
		return v.class
	}
}
