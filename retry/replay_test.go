package retry_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/retry"
)

// replaying is net/http as it treats a POST with an idempotency key on a
// connection that breaks: it sends it again by itself, and reports what became of
// the second attempt only.
type replaying struct{}

func (replaying) RoundTrip(req *http.Request) (*http.Response, error) {
	trace := httptrace.ContextClientTrace(req.Context())
	if trace != nil {
		trace.GetConn("api.example.com:443")
		trace.WroteHeaders() // the first connection took it, and broke
		trace.GetConn("api.example.com:443")
	}
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: net.ErrClosed}
}

// TestReplayByTheBaseIsNoProof: a write that the base transport repeated by itself
// may have had its effect, although the last connection was refused.
func TestReplayByTheBaseIsNoProof(t *testing.T) {
	t.Parallel()
	client, err := retry.NewClient(retry.Config{System: "billing", IdempotencyHeader: "Idempotency-Key", Attempts: 1, Base: replaying{}})
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://api.example.com/invoices", strings.NewReader("{}"))
	require.NoError(t, err)
	req.Header.Set("Idempotency-Key", "k")
	_, err = retry.JSON[any](client, req)
	require.Error(t, err)
	require.False(t, retry.Unsent(err), "the first connection took it")
	var proof interface{ NotApplied() bool }
	require.ErrorAs(t, err, &proof)
	require.False(t, proof.NotApplied())
}

// handed has a connection in hand when its caller gives up; the goroutine that
// writes may still do so.
type handed struct{}

func (handed) RoundTrip(req *http.Request) (*http.Response, error) {
	trace := httptrace.ContextClientTrace(req.Context())
	trace.GetConn("api.example.com:443")
	trace.GotConn(httptrace.GotConnInfo{})
	return nil, context.Canceled
}

// unanswered looks for a connection and does not get one.
type unanswered struct{}

func (unanswered) RoundTrip(req *http.Request) (*http.Response, error) {
	httptrace.ContextClientTrace(req.Context()).GetConn("api.example.com:443")
	return nil, context.Canceled
}

func TestOnlyNoConnectionProvesUnsent(t *testing.T) {
	t.Parallel()
	for want, base := range map[bool]http.RoundTripper{false: handed{}, true: unanswered{}} {
		client, err := retry.NewClient(retry.Config{System: "billing", Attempts: 1, Base: base})
		require.NoError(t, err)
		_, err = retry.Do(client, request(t, http.MethodPost))
		require.Error(t, err)
		require.Equal(t, want, retry.Unsent(err), "%T", base)
	}
}

// hangUp is an API on pipes that answers the first request of each connection,
// and hangs up after it has done what the second asks.
func hangUp(posts *atomic.Int64) *http.Transport {
	serve := func(conn net.Conn) {
		defer conn.Close()
		in := bufio.NewReader(conn)
		for n := range 2 {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			if req.Method == http.MethodPost {
				posts.Add(1)
			}
			if n == 0 {
				_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
			}
		}
	}
	return &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go serve(theirs)
		return ours, nil
	}}
}

// net/http repeats a POST that has an Idempotency-Key header by itself. Where the
// API does not honour the header, that is a second invoice.
func TestBaseMayNotRepeatAWriteByItself(t *testing.T) {
	t.Parallel()
	run := func(client *http.Client, body bool) error {
		get, err := client.Do(request(t, http.MethodGet))
		require.NoError(t, err)
		require.NoError(t, get.Body.Close())
		post := request(t, http.MethodPost, "Idempotency-Key", "k")
		if !body {
			post.Body, post.GetBody, post.ContentLength = nil, nil, 0
		}
		resp, err := client.Do(post)
		if err == nil {
			_ = resp.Body.Close()
		}
		client.CloseIdleConnections()
		return err
	}
	for _, body := range []bool{true, false} {
		var theirs, ours atomic.Int64
		require.NoError(t, run(&http.Client{Transport: hangUp(&theirs)}, body))
		require.EqualValues(t, 2, theirs.Load(), "what net/http does")

		client, err := retry.NewClient(retry.Config{System: "billing", Base: hangUp(&ours)})
		require.NoError(t, err)
		err = run(client, body)
		require.Equal(t, dovetail.InDoubt, dovetail.Classify(err), "%v", err)
		require.EqualValues(t, 1, ours.Load())
	}
}
