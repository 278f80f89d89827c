package outboxtest

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/retry"
	"github.com/tectari/dovetail/store/memstore"
)

// A bureau is an API that is down until it is up.
type bureau struct {
	mu    sync.Mutex
	down  bool
	gone  bool        // nobody listens while it is down; else it answers 503
	asked []time.Time // while it was down
	done  []time.Time
}

func (o *bureau) RoundTrip(r *http.Request) (*http.Response, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.Body != nil {
		_ = r.Body.Close() // of a text
	}
	w := httptest.NewRecorder()
	if o.down {
		o.asked = append(o.asked, time.Now())
		if o.gone {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	} else {
		o.done = append(o.done, time.Now())
	}
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

// TestTheClientsBreakerDoesNotHoldUpTheProbe: a destination whose handler uses package
// retry asks a system that is down every two seconds, as any other, and the first
// delivery follows its recovery within three, whatever the client's breaker has come to.
func TestTheClientsBreakerDoesNotHoldUpTheProbe(t *testing.T) {
	t.Parallel()
	for name, gone := range map[string]bool{"503": false, "connection refused": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { downFor20Minutes(t, &bureau{gone: gone}) })
		})
	}
}

func downFor20Minutes(t *testing.T, api *bureau) {
	cl, err := retry.NewClient(retry.Config{System: "books", Base: api, Observer: quiet{}})
	require.NoError(t, err)
	handler := outbox.HandlerFunc(func(ctx context.Context, d outbox.Delivery) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://books/invoices/"+d.ID, strings.NewReader("{}"))
		require.NoError(t, err)
		resp, err := retry.Do(cl, req)
		if err == nil {
			err = resp.Body.Close()
		}
		return err
	})
	q := queueOn(t, memstore.New(), outbox.Destination{Name: "books", Handler: handler})
	stop := run(t, q)
	defer stop()
	api.down = true
	for range 50 {
		require.NoError(t, q.Tx(t.Context(), func(ctx context.Context, tx outbox.Tx) error { return q.Enqueue(ctx, tx, outbox.Message{To: "books"}) }))
	}
	time.Sleep(20 * time.Minute)
	api.mu.Lock()
	api.down = false
	back := time.Now()
	require.LessOrEqual(t, len(api.asked), 620, "requests into an outage of 20 minutes")
	require.GreaterOrEqual(t, len(api.asked), 500, "it is asked every two seconds")
	api.mu.Unlock()
	time.Sleep(time.Minute)
	api.mu.Lock()
	defer api.mu.Unlock()
	require.Len(t, api.done, 50)
	require.LessOrEqual(t, api.done[0].Sub(back), 3*time.Second, "the first delivery after the recovery")
}
