package dovetailtest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// Transport puts the crasher between the program and inner. The answer to a
// request is read to its end before "after": by then the server has done it.
func (c *Crasher) Transport(inner http.RoundTripper) http.RoundTripper {
	return &crashTransport{c: c, inner: inner}
}

type crashTransport struct {
	c     *Crasher
	inner http.RoundTripper
}

// RoundTrip carries a request out, unless the crasher strikes.
func (t *crashTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	label := r.Method + " " + pathOf(r.URL.Path)
	if err := t.c.gate(); err != nil {
		return nil, err
	}
	nth := t.c.count(label)
	if err := t.c.at(label, nth, false); err != nil {
		return nil, asNetwork(err, "dial", syscall.ECONNREFUSED)
	}
	res, err := t.inner.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close() // it was read to its end
	if err != nil {
		return nil, err
	}
	if err := t.c.at(label, nth, true); err != nil {
		return nil, asNetwork(err, "read", syscall.ECONNRESET)
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, nil
}

// asNetwork makes a planned failure look like the network's own.
func asNetwork(err error, op string, cause error) error {
	if errors.Is(err, ErrCrashed) {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Err: cause}
}

// pathOf names a path without the IDs in it.
func pathOf(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if strings.ContainsAny(p, "0123456789") {
			parts[i] = "{id}"
		}
	}
	return strings.Join(parts, "/")
}
