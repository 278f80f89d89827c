package retry

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/tectari/dovetail"
)

// A Problem is the body of an answer of type application/problem+json (RFC 9457).
type Problem struct {
	Type     string `json:"type"`
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail"`
	Instance string `json:"instance"`
	Code     string `json:"code"`
}

// verdictKey holds, in the context of the request of an answer with a status of
// failure, what this package knows about it.
type verdictKey struct{}

type known struct {
	system  dovetail.System
	class   dovetail.Class
	undone  bool
	doubt   bool
	hint    time.Time
	attempt int
}

// annotate lets ErrorOf know what the Transport knew.
func (t *Transport) annotate(resp *http.Response, req *http.Request, f facts, v verdict, tr trail) {
	k := &known{system: t.cfg.System, class: v.after(tr.doubt, f), undone: v.undone && !tr.doubt, doubt: v.doubt || tr.doubt, attempt: tr.attempts}
	if v.hint > 0 {
		k.hint = time.Now().Add(v.hint)
	}
	resp.Request = req.WithContext(context.WithValue(req.Context(), verdictKey{}, k))
}

// ErrorOf returns what a response means: nil for 2xx, and an *Error with its class
// otherwise. It reads up to 64 KiB of a problem+json body and leaves the body
// readable. A response that did not come through a Transport is judged by its
// status and the method of its request alone.
func ErrorOf(resp *http.Response) error {
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return nil
	}
	e := &Error{Status: resp.StatusCode, Attempts: 1, class: dovetail.Permanent, RequestID: requestID(resp.Header)}
	if resp.Request != nil {
		e.Op = op(resp.Request)
	}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		e.Err, e.undone = errNotFollowed, false
		return e
	}
	e.judge(resp)
	if media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && media == "application/problem+json" {
		e.problem(resp)
	}
	return e
}

var errNotFollowed = errors.New("a redirect that was not followed")

func (e *Error) judge(resp *http.Response) {
	var k *known
	method := http.MethodGet
	if resp.Request != nil {
		k, _ = resp.Request.Context().Value(verdictKey{}).(*known)
		method = resp.Request.Method
	}
	if k != nil {
		e.System, e.class, e.undone, e.Attempts, e.RetryAt = k.system, k.class, k.undone, k.attempt, k.hint
		return
	}
	safe := method == "" || method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions || method == http.MethodTrace
	f := facts{safe: safe, native: method == http.MethodPut || method == http.MethodDelete}
	now := time.Now()
	hint := retryAfter(resp.Header, now)
	v := judgeStatus(resp.StatusCode, f, hint)
	e.class, e.undone = v.class, v.undone
	if hint > 0 {
		e.RetryAt = now.Add(hint)
	}
}

// problem reads the body as a Problem.
func (e *Error) problem(resp *http.Response) {
	if resp.Body == nil {
		return
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, keepBytes))
	rest := resp.Body
	resp.Body = &joined{Reader: io.MultiReader(strings.NewReader(string(b)), rest), Closer: rest}
	if err != nil {
		return
	}
	p := new(Problem)
	if json.Unmarshal(b, p) != nil {
		return
	}
	e.Problem = p
	code := p.Code
	if u, err := url.Parse(p.Type); code == "" && err == nil && p.Type != "" && p.Type != "about:blank" {
		code = path.Base(u.Path)
		if u.Path == "" {
			code = path.Base(u.Opaque)
		}
	}
	e.Code = word(code)
	if e.Status == http.StatusUnprocessableEntity && e.class == dovetail.Invalid && strings.Contains(e.Code, "idempoten") {
		e.class = dovetail.Permanent // the key was used for something else: a fault of the program
	}
}

// word returns s if it is a short code, so that no value of a record becomes one.
func word(s string) string {
	if s == "." || s == "/" || len(s) > 64 {
		return ""
	}
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-_.", c) {
			return ""
		}
	}
	return s
}

type joined struct {
	io.Reader
	io.Closer
}

// requestID returns the API's name for a request, if it is one that may be shown.
func requestID(h http.Header) string {
	for _, name := range [...]string{"X-Request-Id", "Request-Id", "X-Correlation-Id", "X-Amzn-Requestid", "Cf-Ray"} {
		if id := word(h.Get(name)); id != "" {
			return id
		}
	}
	return ""
}

// Do sends req and returns the answer if its status is 2xx; the caller closes its
// body. Any other answer is an *Error, and its body is closed. An error of the
// client is returned without the URL that *http.Client puts around it.
func Do(client *http.Client, req *http.Request) (*http.Response, error) {
	resp, err := client.Do(req)
	if err != nil {
		return nil, Redact(err)
	}
	if err := ErrorOf(resp); err != nil {
		keep(resp)
		return nil, err
	}
	return resp, nil
}

// maxJSON is how long an answer JSON reads.
const maxJSON = 32 << 20

var (
	errTooLong = errors.New("the answer is longer than 32 MiB")
	errNotJSON = errors.New("the answer is not the JSON that is expected")
	errBroke   = errors.New("the answer broke off")
)

// JSON sends req and reads its answer, of up to 32 MiB, as a T; an empty answer is
// the zero T. Errors are an *Error, as of Do. A write that was answered with 2xx
// and an unreadable body is InDoubt: it was done, and what it made is not known.
func JSON[T any](client *http.Client, req *http.Request) (T, error) {
	var v T
	resp, err := Do(client, req)
	if err != nil {
		return v, err
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxJSON+1))
	_ = resp.Body.Close() // it was only read
	class := dovetail.Permanent
	switch {
	case err != nil:
		err, class = errors.Join(errBroke, err), dovetail.Transient
	case len(b) > maxJSON:
		err = errTooLong
	case len(b) > 0 && json.Unmarshal(b, &v) != nil:
		err = errNotJSON // what encoding/json says may hold values
	default:
		return v, nil
	}
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
	default:
		class = dovetail.InDoubt
	}
	var zero T
	e := &Error{Op: op(req), Status: resp.StatusCode, Attempts: 1, RequestID: requestID(resp.Header), class: class, Err: scrub(err, req)}
	if t, ok := client.Transport.(*Transport); ok {
		e.System = t.cfg.System
	}
	return zero, e
}
