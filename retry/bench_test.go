package retry_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/retry"
)

// stub answers at once and allocates one response.
type stub struct{}

func (stub) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: req}, nil
}

// BenchmarkGet compares the price of a call that succeeds. The caller's deadline
// is shorter than AttemptTimeout, as it is for a handler of the outbox; "own
// timeout" is without one.
func BenchmarkGet(b *testing.B) {
	alone := retryablehttp.NewClient()
	alone.Logger, alone.HTTPClient = nil, &http.Client{Transport: stub{}}
	quotas := []retry.Quota{retry.Window{Limit: 1 << 30, Per: time.Minute}, retry.Concurrency{Max: 5}}
	with := func(cfg retry.Config) *http.Client {
		cfg.System, cfg.Base = "billing", stub{}
		c, err := retry.NewClient(cfg)
		require.NoError(b, err)
		return c
	}
	for _, c := range []struct {
		name     string
		client   *http.Client
		deadline time.Duration
	}{
		{"bare", &http.Client{Transport: stub{}}, 20 * time.Second},
		{"retry", with(retry.Config{}), 20 * time.Second},
		{"retry with quotas", with(retry.Config{Quotas: quotas}), 20 * time.Second},
		{"go-retryablehttp", alone.StandardClient(), 20 * time.Second},
		{"bare with Timeout", &http.Client{Transport: stub{}, Timeout: 30 * time.Second}, 0},
		{"retry with own timeout", with(retry.Config{}), 0},
	} {
		b.Run(c.name, func(b *testing.B) {
			ctx := context.Background()
			if c.deadline > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, c.deadline)
				defer cancel()
			}
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, api, nil)
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				resp, err := c.client.Do(req)
				if err != nil {
					b.Fatal(err)
				}
				_ = resp.Body.Close()
			}
		})
	}
}

// TestHappyPathAllocatesNothing: a call that succeeds at once costs no memory
// beyond net/http's own.
func TestHappyPathAllocatesNothing(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, api, nil)
	require.NoError(t, err)
	ours, err := retry.NewTransport(retry.Config{System: "billing", Base: stub{}, Rate: 1e9, Burst: 1e9,
		Quotas: []retry.Quota{retry.Window{Limit: 1 << 30, Per: time.Minute}, retry.Concurrency{Max: 5}}})
	require.NoError(t, err)
	count := func(rt http.RoundTripper) float64 {
		return testing.AllocsPerRun(200, func() {
			resp, err := rt.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
		})
	}
	require.LessOrEqual(t, count(ours), count(stub{}))
}
