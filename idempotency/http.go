package idempotency

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/tectari/dovetail"
)

// An HTTPConfig sets up Middleware.
type HTTPConfig struct {
	// Store keeps the ledger. Required.
	Store Store
	// Scope names who asks: the tenant or account of the authenticated caller, never
	// the token itself, which changes. Keys of different scopes have nothing to do with
	// each other. An error answers 401. Required: in one space for all, the answer to
	// one caller's key would be given to another.
	Scope func(*http.Request) (string, error)
	// OnDoubt says what happens to a request whose handler crashed, panicked or
	// answered 5xx, when it comes again: Park answers 409 until somebody calls Resolve
	// (the safe choice), MayRepeat runs the handler again, which is right where all it
	// does is in one transaction, with CompleteRequest or rolled back. Required.
	OnDoubt OnDoubt
	// Methods are those that are protected. Defaults to POST and PATCH; what has
	// another method passes.
	Methods []string
	// AllowMissing lets a request without a key pass unprotected. Without it such a
	// request is answered with 400.
	AllowMissing bool
	// MaxBytes bounds the body of a request, which is read before it is passed on, and
	// how much of an answer is kept. Defaults to 1 MiB.
	MaxBytes int64
	// Lease is how long a crash keeps a key busy. Defaults to 30 seconds; at least 10
	// milliseconds. While the handler runs it is renewed.
	Lease time.Duration
	// Observer is told of each protected request. Defaults to slog.Default for
	// failures, and nothing else.
	Observer dovetail.Observer
}

// Middleware makes a handler do what a request asks once for each Idempotency-Key,
// however often it is sent, as draft-ietf-httpapi-idempotency-key-header-07 says. It
// returns dovetail.Faults with everything that is wrong with c.
//
// The first request with a key runs the handler, and its answer is kept; one that
// comes again is answered with that, and the header Idempotent-Replayed: true. While
// the first is under way it is answered with 409 and Retry-After. The same key with
// another request (method, path, query or body) is answered with 422, one without a
// key, or with more than one, or with one that is malformed or above 255 characters,
// with 400: all of them as application/problem+json (RFC 9457).
//
// An answer of 408, 409, 425 or 429 is not kept and frees the key: nothing has
// happened. What follows 5xx, a panic or a crash is Config.OnDoubt's to say, unless
// the handler has called RequestNotApplied. Set-Cookie, and what belongs to one
// connection, is not kept. An answer that was flushed before its end, hijacked, or
// larger than MaxBytes goes through and is not kept: the request will not run again,
// and is answered with 409.
//
// Entries are kept until Store.Sweep removes them: call it with the window that you
// publish.
func Middleware(c HTTPConfig) (func(http.Handler) http.Handler, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	m := &middleware{config: c, observer: dovetail.ObserverOr(c.Observer)}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.serve(w, r, next) })
	}, nil
}

// check returns dovetail.Faults with everything that is wrong with c, and fills in
// the defaults.
func (c *HTTPConfig) check() error {
	faults := dovetail.Faults{Package: "idempotency"}
	if c.Store == nil {
		faults.Add("IDM021", "HTTPConfig.Store", "required", "sqlstore.New(db, sqlstore.SQLite), or memstore.New() for a try")
	}
	if c.Scope == nil {
		faults.Add("IDM022", "HTTPConfig.Scope", "required: one caller would get the answers to another's keys", "return the account of the authenticated caller")
	}
	if c.OnDoubt != Park && c.OnDoubt != MayRepeat {
		faults.Add("IDM023", "HTTPConfig.OnDoubt", "required: after a crash or a 5xx it is not known what the handler has done",
			"idempotency.Park (409 until somebody looks), or MayRepeat where the handler's work is one transaction")
	}
	if c.MaxBytes < 0 || c.Lease < 0 || (c.Lease > 0 && c.Lease < minLease) {
		faults.Add("IDM024", "HTTPConfig", "a negative MaxBytes, or a Lease below 10ms", "leave them zero for 1 MiB and 30s")
	}
	if c.Methods == nil {
		c.Methods = []string{http.MethodPost, http.MethodPatch}
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 1 << 20
	}
	if c.Lease == 0 {
		c.Lease = defaultLease
	}
	return faults.Err()
}

type middleware struct {
	config   HTTPConfig
	observer dovetail.Observer
}

// serve deals with one request.
func (m *middleware) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if !slices.Contains(m.config.Methods, r.Method) || (m.config.AllowMissing && len(r.Header.Values(keyHeader)) == 0) {
		next.ServeHTTP(w, r)
		return
	}
	e := dovetail.Event{Name: "idempotency.request", Time: time.Now()}
	ctx := m.observer.Start(r.Context(), e)
	done := false
	defer func() {
		if !done {
			e.Outcome, e.Err = "panicked", m.doubt()
		}
		e.Duration, e.Class = time.Since(e.Time), dovetail.Classify(e.Err)
		m.observer.Record(ctx, e)
	}()
	e.Outcome, e.Err = m.once(w, r.WithContext(ctx), next, &e)
	done = true
}

// doubt is what is told of a request whose outcome is not known and that somebody
// has to look into.
func (m *middleware) doubt() error {
	if m.config.OnDoubt == Park {
		return needsPerson(ErrInDoubt)
	}
	return nil
}

// once runs the handler, or answers for it. It returns what happened in a word, and
// what failed of ours.
func (m *middleware) once(w http.ResponseWriter, r *http.Request, next http.Handler, e *dovetail.Event) (string, error) {
	id, fault := requestKey(r.Header.Values(keyHeader))
	if fault != "" {
		problem(w, http.StatusBadRequest, "Idempotency-Key is missing or malformed", fault)
		return "malformed", nil
	}
	scope, err := m.config.Scope(r)
	k := Key{Scope: scope, ID: id}
	if err = errors.Join(err, k.check()); err != nil {
		problem(w, http.StatusUnauthorized, "The caller is not known", "Without a caller there is no telling whose key it is.")
		return "unscoped", err
	}
	e.Key = k.String()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, m.config.MaxBytes))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			problem(w, http.StatusRequestEntityTooLarge, "The request is too large", "At most "+strconv.FormatInt(m.config.MaxBytes, 10)+" bytes can be made to happen once.")
			return "too-large", nil
		}
		problem(w, http.StatusBadRequest, "The request did not arrive whole", "Nothing has happened. Send it again.")
		return "incomplete", nil
	}
	fp := fingerprintOf(r, body)
	asked := time.Now()
	c, err := m.config.Store.Claim(r.Context(), ClaimRequest{Key: k, Kind: Operation, Fingerprint: fp, Lease: m.config.Lease})
	if err != nil {
		w.Header().Set("Retry-After", "5")
		problem(w, http.StatusServiceUnavailable, "The request cannot be made to happen once now", "Nothing has happened. Send it again.")
		return "ledger-failed", asLedger("claim", err)
	}
	if c.Verdict != Won {
		return m.answer(w, c)
	}
	ctx, s := begin(r.Context(), m.config.Store, c, m.config.Lease, asked)
	defer s.end()
	if c.State == Doubt && m.config.OnDoubt == Park {
		s.release(ctx, Release{NotApplied: true, Cause: "waits for a person"})
		problem(w, http.StatusConflict, "The outcome of this request is not known", "It was begun before and did not end. Somebody has to look what it has done.")
		return "in-doubt", m.doubt()
	}
	r = r.WithContext(ctx)
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return m.run(w, r, next, s, fp)
}

// answer answers a request that is not to be run.
func (m *middleware) answer(w http.ResponseWriter, c Claim) (string, error) {
	switch c.Verdict {
	case Busy:
		w.Header().Set("Retry-After", strconv.FormatFloat(math.Ceil(max(1, min(c.LeaseUntil.Sub(c.Now), m.config.Lease/3).Seconds())), 'f', 0, 64))
		problem(w, http.StatusConflict, "A request with this key is under way", "Ask again for its answer.")
		return "busy", nil
	case Reused:
		problem(w, http.StatusUnprocessableEntity, "This key was used for another request", "Send a new request with a new key, and the same request with the same key only.")
		return "reused", nil
	case Finished:
		return replay(w, c.Result)
	}
	err := notWon(c)
	problem(w, http.StatusInternalServerError, "The request cannot be made to happen once", "")
	return "failed", err
}

// run runs the handler and records what it answered.
func (m *middleware) run(w http.ResponseWriter, r *http.Request, next http.Handler, s *session, fp Fingerprint) (string, error) {
	if err := s.mark(r.Context(), Mark{Fingerprint: fp, Settled: true}); err != nil {
		w.Header().Set("Retry-After", "5")
		problem(w, http.StatusServiceUnavailable, "The request cannot be made to happen once now", "Nothing has happened. Send it again.")
		return "ledger-failed", err
	}
	op := &operation{session: s, fingerprint: fp}
	ctx := context.WithValue(r.Context(), operationKey{}, op)
	rec := &recorder{ResponseWriter: w, most: m.config.MaxBytes}
	ended := false
	defer func() {
		if !ended { // the panic goes on to the server
			s.release(ctx, Release{NotApplied: op.notApplied.Load(), Cause: "panic"})
		}
	}()
	next.ServeHTTP(rec, r.WithContext(ctx))
	ended = true
	rec.end()
	switch status := rec.status; {
	case op.completed.Load() && status < 500:
		return "done", nil // with the handler's own transaction
	case op.notApplied.Load() || freeing(status):
		s.release(ctx, Release{NotApplied: true, Cause: strconv.Itoa(status)})
		return "not-applied", nil
	case status >= 500:
		s.release(ctx, Release{Cause: strconv.Itoa(status)})
		return "in-doubt", m.doubt()
	}
	if err := s.complete(ctx, Completion{Fingerprint: fp, Result: rec.reply().encode()}); err != nil {
		return "not-recorded", err
	}
	return "done", nil
}

// freeing reports that a status says that nothing has happened, and that the same
// request may be sent again.
func freeing(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusConflict || status == http.StatusTooEarly || status == http.StatusTooManyRequests
}

// fingerprintOf tells two requests apart: their method, path, query and body.
func fingerprintOf(r *http.Request, body []byte) (fp Fingerprint) {
	h := sha256.New()
	var n [8]byte
	for _, part := range [...][]byte{[]byte(r.Method), []byte(r.URL.EscapedPath()), []byte(r.URL.RawQuery), body} {
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		_, _ = h.Write(n[:]) // a hash never fails
		_, _ = h.Write(part)
	}
	h.Sum(fp[:0])
	return fp
}
