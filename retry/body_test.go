package retry_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/retry"
)

// endless is n bytes that nobody keeps.
type endless struct{ left int64 }

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), e.left)
	e.left -= n
	return int(n), nil
}

// swallow reads the whole body, and fails the first two times.
type swallow struct {
	seen []int64
	sums [][]byte
}

func (s *swallow) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	n, _ := io.Copy(h, r.Body)
	s.seen, s.sums = append(s.seen, n), append(s.sums, h.Sum(nil))
	if len(s.seen) < 3 {
		w.WriteHeader(http.StatusInternalServerError)
	}
}

func TestBodyIsRepeatedWithoutBuffering(t *testing.T) {
	const size = 64 << 20
	path := filepath.Join(t.TempDir(), "export")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, os.Truncate(path, size))
	for name, body := range map[string]func(t *testing.T, req *http.Request){
		"GetBody": func(_ *testing.T, req *http.Request) {
			req.Body = io.NopCloser(&endless{left: size})
			req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(&endless{left: size}), nil }
		},
		"file": func(t *testing.T, req *http.Request) {
			f, err := os.Open(path)
			require.NoError(t, err)
			req.Body, req.GetBody = f, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &swallow{}
				cl := client(t, retry.Config{}, api)
				req := request(t, "PUT")
				body(t, req)
				req.ContentLength = size
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				resp, err := retry.Do(cl, req)
				runtime.ReadMemStats(&after)
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				require.Equal(t, []int64{size, size, size}, api.seen)
				require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(2<<20), "bytes allocated for three times 64 MiB")
				synctest.Wait() // net/http may close a body after it has returned the answer
				if f, ok := req.Body.(*os.File); ok {
					require.ErrorIs(t, f.Close(), os.ErrClosed, "the body is closed in the end")
				}
			})
		})
	}
}

// once is a body that can be read only once.
type once struct {
	io.Reader
	closed atomic.Int64
}

func (o *once) Close() error {
	o.closed.Add(1)
	return nil
}

func TestBodyThatCanBeReadOnceIsKeptUpToALimit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ size, sent int }{{200 << 10, 3}, {300 << 10, 1}} {
		synctest.Test(t, func(t *testing.T) {
			api := &swallow{}
			cl := client(t, retry.Config{}, api)
			req := request(t, "PUT")
			body := &once{Reader: io.LimitReader(strings.NewReader(strings.Repeat("dovetail", 1<<16)), int64(c.size))}
			req.Body, req.GetBody, req.ContentLength = body, nil, -1
			resp, err := cl.Do(req)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Len(t, api.seen, c.sent)
			for i := range api.seen {
				require.EqualValues(t, c.size, api.seen[i])
				require.Equal(t, api.sums[0], api.sums[i])
			}
			synctest.Wait() // net/http may close a body after it has returned the answer
			require.EqualValues(t, 1, body.closed.Load())
		})
	}
}

func TestHangingAnswerDoesNotHoldUpTheRetry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := 0
		cl := client(t, retry.Config{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if n++; n == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
				_, _ = w.Write([]byte("one moment"))
				<-r.Context().Done()
			}
		}))
		start := time.Now()
		resp, err := retry.Do(cl, request(t, "GET"))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Less(t, time.Since(start), time.Second)
	})
}

// watched counts the bodies that are open.
type watched struct {
	io.ReadCloser
	open *atomic.Int64
	done atomic.Bool
}

func (w *watched) Close() error {
	if !w.done.Swap(true) {
		w.open.Add(-1)
	}
	return w.ReadCloser.Close()
}

func TestEveryAnswerButTheLastIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var open, all atomic.Int64
		watch := func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if err == nil {
				open.Add(1)
				all.Add(1)
				resp.Body = &watched{ReadCloser: resp.Body, open: &open}
			}
			return resp, err
		}
		cl := client(t, retry.Config{}, &counter{}, watch, dovetailtest.Answer(500, strings.Repeat("x", 1<<20)))
		resp, err := cl.Do(request(t, "GET"))
		require.NoError(t, err)
		require.EqualValues(t, 4, all.Load())
		require.EqualValues(t, 1, open.Load())
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Len(t, b, 1<<20, "the last answer is whole, however long")
		require.NoError(t, resp.Body.Close())
		require.Zero(t, open.Load())
	})
}

// idler is a base whose pool would be emptied.
type idler struct {
	http.RoundTripper
	flushed int
}

func (i *idler) CloseIdleConnections() { i.flushed++ }

func TestFailedCallsKeepThePool(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		base := &idler{RoundTripper: dovetailtest.Faulty(nil, dovetailtest.Refused())}
		cl, err := retry.NewClient(retry.Config{System: "billing", Base: base})
		require.NoError(t, err)
		for range 5 {
			_, err := cl.Do(request(t, "GET"))
			require.Error(t, err)
		}
		require.Zero(t, base.flushed)
		cl.CloseIdleConnections()
		require.Equal(t, 1, base.flushed, "only the owner empties it")
	})
}

func TestAttemptTimeoutCoversHeaderAndEachRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		drip := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for i := range 5 {
				_, _ = w.Write([]byte{byte('0' + i)})
				time.Sleep(8 * time.Second)
			}
			<-r.Context().Done()
		})
		cl := client(t, retry.Config{AttemptTimeout: 10 * time.Second}, drip)
		start := time.Now()
		resp, err := cl.Do(request(t, "GET"))
		require.NoError(t, err)
		b, err := io.ReadAll(resp.Body)
		require.Error(t, err)
		require.Equal(t, "01234", string(b), "a slow body is read for longer than one timeout")
		require.Less(t, time.Since(start), 55*time.Second, "a body that stands still is given up")
		require.NoError(t, resp.Body.Close())
	})
}

func TestUnreadableAnswerToAWriteIsInDoubt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"id":"canary-4711"}`)) })
		whole := client(t, retry.Config{}, answer)
		cut := client(t, retry.Config{}, answer, dovetailtest.Cut(5))
		type invoice struct{ ID string }
		got, err := retry.JSON[invoice](whole, request(t, "POST"))
		require.NoError(t, err)
		require.Equal(t, "canary-4711", got.ID)
		_, err = retry.JSON[invoice](cut, request(t, "POST"))
		require.Equal(t, dovetail.InDoubt, dovetail.Classify(err))
		_, err = retry.JSON[invoice](cut, request(t, "GET"))
		require.Equal(t, dovetail.Transient, dovetail.Classify(err))
		_, err = retry.JSON[struct{ ID int }](whole, request(t, "POST"))
		require.Equal(t, dovetail.InDoubt, dovetail.Classify(err))
		require.NotContains(t, err.Error(), "canary")
		endlessly := client(t, retry.Config{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for chunk := bytes.Repeat([]byte(" "), 1<<20); ; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}))
		_, err = retry.JSON[invoice](endlessly, request(t, "GET").WithContext(context.Background()))
		require.ErrorContains(t, err, "longer than 32 MiB")
	})
}
