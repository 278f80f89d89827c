package idempotency

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/tectari/dovetail"
)

// A Reply is an answer to a request, as it is kept.
type Reply struct {
	Status int         `json:"status"`
	Header http.Header `json:"header,omitempty"`
	Body   []byte      `json:"body,omitempty"`
	// Lost says that the answer was too large or streamed, and is not kept.
	Lost bool `json:"lost,omitempty"`
}

// encode returns the reply as it is kept, without what belongs to one connection or
// one client.
func (r Reply) encode() []byte {
	r.Header = maps.Clone(r.Header)
	for _, name := range [...]string{
		"Set-Cookie", "Authorization", "Www-Authenticate", "Proxy-Authenticate", "Proxy-Authentication-Info", "Connection", "Keep-Alive",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Date", "Content-Length",
	} {
		delete(r.Header, name)
	}
	b, _ := json.Marshal(r) // there is nothing in it that has no JSON
	return b
}

// replay answers with a reply that was kept.
func replay(w http.ResponseWriter, kept []byte) (string, error) {
	var r Reply
	if err := json.Unmarshal(kept, &r); err != nil || (!r.Lost && (r.Status < 200 || r.Status > 599)) {
		r.Lost = true // settled by a person, or by another version of this library
	}
	if r.Lost {
		problem(w, http.StatusConflict, "The request was carried out before", "Its answer was not kept, since it was streamed or too large. It is not carried out again.")
		return "not-kept", nil
	}
	maps.Copy(w.Header(), r.Header)
	w.Header().Set("Idempotent-Replayed", "true")
	w.Header().Set("Content-Length", strconv.Itoa(len(r.Body)))
	if r.Status == http.StatusNoContent || r.Status == http.StatusNotModified {
		w.Header().Del("Content-Length")
	}
	w.WriteHeader(r.Status)
	_, _ = w.Write(r.Body) // a client that has gone asks again
	return "replayed", nil
}

// problem answers with application/problem+json, RFC 9457.
func problem(w http.ResponseWriter, status int, title, detail string) {
	body, _ := json.Marshal(struct { // there is nothing in it that has no JSON
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail,omitempty"`
	}{title, status, detail})
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has gone asks again
}

// An operation is a request under way, for its handler.
type operation struct {
	session               *session
	fingerprint           Fingerprint
	completed, notApplied atomic.Bool
}

type operationKey struct{}

// ErrNoRequest is returned where ctx is not that of a request that Middleware
// protects.
var ErrNoRequest = errors.New("idempotency: not within a request that Middleware protects")

// RequestNotApplied says that the handler of ctx has done nothing, whatever it
// answers: the same request runs it again. Without it an answer of 5xx leaves a
// doubt. It returns ErrNoRequest outside of Middleware.
func RequestNotApplied(ctx context.Context) error {
	op, ok := ctx.Value(operationKey{}).(*operation)
	if !ok {
		return ErrNoRequest
	}
	op.notApplied.Store(true)
	return nil
}

// CompleteRequest records in the handler's own transaction that the request of ctx
// was carried out, and how it is answered: what the handler wrote in tx and the fact
// that it happened commit together, or not at all. Call it last in the transaction,
// and answer with the same reply after the commit; answer 5xx where the commit
// failed. The store must be a TxStore. It returns ErrNoRequest outside of Middleware.
func CompleteRequest(ctx context.Context, tx Tx, r Reply) error {
	op, ok := ctx.Value(operationKey{}).(*operation)
	if !ok {
		return ErrNoRequest
	}
	store, ok := op.session.store.(TxStore)
	if !ok {
		return &dovetail.Error{Fault: dovetail.Permanent, Err: fmt.Errorf("complete a request in a transaction: %T is no idempotency.TxStore", op.session.store)}
	}
	if r.Status < 200 || r.Status > 499 {
		return dovetail.NewError(dovetail.Invalid, "complete request", "status %d: want one that says it was carried out, or refused for good", r.Status)
	}
	c := Completion{Key: op.session.claim.Key, Fence: op.session.claim.Fence, Fingerprint: op.fingerprint, Result: r.encode()}
	if err := store.CompleteTx(ctx, tx, c); err != nil {
		return fmt.Errorf("complete request: %w", err)
	}
	op.completed.Store(true)
	return nil
}

// A recorder keeps what passes through it, up to a limit.
type recorder struct {
	http.ResponseWriter
	most   int64
	status int
	header http.Header // as it was when it was sent
	body   []byte
	lost   bool
}

// WriteHeader passes the status on. The first that is not informational counts.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= 200 {
		r.status, r.header = status, r.Header().Clone()
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write passes p on and keeps it.
func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	if int64(len(r.body)+len(p)) > r.most {
		r.lost, r.body = true, nil
	}
	if !r.lost {
		r.body = append(r.body, p...)
	}
	return r.ResponseWriter.Write(p)
}

// end is the end of a handler that may have written nothing.
func (r *recorder) end() {
	if r.status == 0 {
		r.status, r.header = http.StatusOK, r.Header().Clone()
	}
}

func (r *recorder) reply() Reply {
	if r.lost {
		return Reply{Lost: true}
	}
	return Reply{Status: r.status, Header: r.header, Body: r.body}
}

// FlushError sends what there is. What comes as a stream is not kept.
func (r *recorder) FlushError() error {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	r.lost, r.body = true, nil
	return http.NewResponseController(r.ResponseWriter).Flush()
}

// Flush is FlushError for those who do not ask.
func (r *recorder) Flush() { _ = r.FlushError() }

// Hijack hands the connection over. What is said on it is not kept.
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(r.ResponseWriter).Hijack()
	if err == nil {
		r.lost, r.body = true, nil
		if r.status == 0 {
			r.status = http.StatusSwitchingProtocols
		}
	}
	return c, rw, err
}

// Unwrap returns the writer beneath, for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
