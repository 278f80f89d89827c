package dovetailtest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"syscall"
)

// Transport returns a RoundTripper that calls h in memory, without a socket, so
// that the clock of testing/synctest runs while a request waits. Each request has
// a goroutine of its own; an answer is streamed. A handler that panics (also with
// http.ErrAbortHandler) breaks the connection, after its header if that was
// written. The handler's context ends with the request's, and when the answer's
// body is closed. The hooks of httptrace are called for the connection and the
// header, as net/http does.
func Transport(h http.Handler) http.RoundTripper { return &memory{h: h} }

type memory struct{ h http.Handler }

// RoundTrip calls the handler and returns once it has written a header.
func (m *memory) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil && trace.GetConn != nil {
		trace.GetConn(req.URL.Host)
	}
	if err := ctx.Err(); err != nil {
		cancel()
		closeRequest(req)
		return nil, err
	}
	if trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{})
	}
	if trace != nil && trace.WroteHeaders != nil {
		trace.WroteHeaders()
	}
	pr, pw := io.Pipe()
	w := &memoryWriter{header: http.Header{}, body: pw, ready: make(chan struct{})}
	go m.serve(w, served(ctx, req), req, cancel)
	select {
	case <-w.ready:
	case <-ctx.Done():
		_ = pr.Close() // the handler's next write fails
		cancel()
		return nil, context.Cause(ctx)
	}
	if w.broken != nil {
		cancel()
		return nil, w.broken
	}
	resp := w.response(req)
	resp.Body = &memoryBody{PipeReader: pr, stop: context.AfterFunc(ctx, func() { pr.CloseWithError(context.Cause(ctx)) }), cancel: cancel}
	if req.Method == http.MethodHead {
		_ = resp.Body.Close() // it has none
		resp.Body = http.NoBody
	}
	return resp, nil
}

// serve runs the handler.
func (m *memory) serve(w *memoryWriter, r, req *http.Request, cancel context.CancelFunc) {
	defer closeRequest(req)
	defer func() {
		if v := recover(); v != nil {
			w.abort(fmt.Errorf("the handler broke the connection: %w", &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}))
			cancel()
		}
	}()
	m.h.ServeHTTP(w, r)
	w.WriteHeader(http.StatusOK)
	_ = w.body.Close() // a pipe
}

// served is the request as a server sees it.
func served(ctx context.Context, req *http.Request) *http.Request {
	r := req.Clone(ctx)
	r.RequestURI = req.URL.RequestURI()
	r.RemoteAddr = "192.0.2.1:1234"
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	if r.Host == "" {
		r.Host = req.URL.Host
	}
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.GetBody = nil
	if r.Body == nil {
		r.Body = http.NoBody
	}
	return r
}

func closeRequest(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close() // as a RoundTripper must
	}
}

type memoryWriter struct {
	header http.Header
	body   *io.PipeWriter
	ready  chan struct{}

	once   sync.Once
	status int
	sent   http.Header
	broken error
}

// Header returns the header to be sent.
func (w *memoryWriter) Header() http.Header { return w.header }

// WriteHeader sends the header, once.
func (w *memoryWriter) WriteHeader(status int) {
	w.once.Do(func() {
		w.status, w.sent = status, w.header.Clone()
		close(w.ready)
	})
}

// Write sends b, after the header.
func (w *memoryWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

// Flush sends the header.
func (w *memoryWriter) Flush() { w.WriteHeader(http.StatusOK) }

func (w *memoryWriter) abort(err error) {
	w.once.Do(func() {
		w.broken = err
		close(w.ready)
	})
	_ = w.body.CloseWithError(io.ErrUnexpectedEOF) // always nil
}

func (w *memoryWriter) response(req *http.Request) *http.Response {
	return &http.Response{
		Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, ContentLength: -1, Request: req,
	}
}

type memoryBody struct {
	*io.PipeReader
	stop   func() bool
	cancel context.CancelFunc
}

// Close ends the handler.
func (b *memoryBody) Close() error {
	b.stop()
	err := b.PipeReader.Close()
	b.cancel()
	return err
}
