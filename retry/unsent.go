package retry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// wire watches whether a request left the process. net/http tells; a base that
// does not call the hooks proves nothing.
type wire struct {
	began atomic.Bool // the base is one that tells
	wrote atomic.Bool // a connection was had, or headers were written to one
}

func (w *wire) watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { w.began.Store(true) },
		// Headers are written by another goroutine, which may do it after the
		// round trip was cancelled. So a connection is too much already.
		GotConn:      func(httptrace.GotConnInfo) { w.wrote.Store(true) },
		WroteHeaders: func() { w.wrote.Store(true) },
	})
}

// unsent reports whether err proves that nothing reached the API. w is nil where
// nobody watched.
func unsent(err error, w *wire) bool {
	if w != nil && w.wrote.Load() {
		return false // whatever a later connection said
	}
	if w != nil && w.began.Load() {
		return true
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "dial" || op.Op == "proxyconnect") {
		return true
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return true
	}
	return isTLS(err)
}

// isTLS reports whether err ended the handshake, before any request.
func isTLS(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return true
	}
	_, ok := errors.AsType[x509.CertificateInvalidError](err)
	return ok
}

var (
	errScheme  = errors.New("the URL has no scheme http or https, or no host")
	errNoAgain = errors.New("the body cannot be sent a second time")
	errTimeout = errors.New("no answer within Config.AttemptTimeout")
)

// isPermanent reports whether the next attempt would fail in the same way.
func isPermanent(err error) bool {
	return isTLS(err) || errors.Is(err, errNoAgain) || errors.Is(err, errScheme) || errors.Is(err, errOrigin) || errors.Is(err, http.ErrSchemeMismatch)
}
