package retry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/retry"
)

type recorder struct {
	mu     sync.Mutex
	events []dovetail.Event
}

func (r *recorder) Start(ctx context.Context, e dovetail.Event) context.Context {
	e.Headers["Traceparent"] = "00-trace"
	r.Record(ctx, e)
	return ctx
}

func (r *recorder) Record(_ context.Context, e dovetail.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func TestSecretsAppearNowhere(t *testing.T) {
	t.Parallel()
	const canary = "c4n4ry"
	talkative := func(r *http.Request, _ http.RoundTripper) (*http.Response, error) {
		return nil, &url.Error{Op: "Post", URL: r.URL.String(), Err: fmt.Errorf("proxy refused %v and %q", r.Header, r.URL.RawQuery)}
	}
	for name, fault := range map[string]dovetailtest.HTTPFault{
		"talkative base": talkative,
		"status":         dovetailtest.Answer(422, `{"type":"https://x/`+canary+`?a=b","title":"`+canary+`","detail":"`+canary+`","code":"`+canary+` is bad"}`, "Content-Type", "application/problem+json", "X-Request-Id", "id "+canary),
		"429":            dovetailtest.TooMany("600"),
		"503":            dovetailtest.Answer(503, canary),
		"refused":        dovetailtest.Refused(),
		"redirect":       dovetailtest.Answer(307, "", "Location", "http://evil.example.net/?t="+canary),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rec := &recorder{}
				cl := client(t, retry.Config{Observer: rec}, &counter{}, fault)
				for range 6 {
					req, err := http.NewRequestWithContext(context.Background(), http.MethodPost,
						"http://user-"+canary+":pw-"+canary+"@api.example.com/invoices?token="+canary+"%21&x="+canary, strings.NewReader(canary))
					require.NoError(t, err)
					req.Header.Set("X-Api-Key", "key-"+canary)
					req.Header.Set("Authorization", "Bearer "+canary)
					_, err = retry.Do(cl, req)
					require.Error(t, err)
					for e := err; e != nil; e = errors.Unwrap(e) {
						require.NotContains(t, fmt.Sprintf("%v", e), canary)
					}
				}
				require.NotEmpty(t, rec.events)
				for _, e := range rec.events {
					require.NotContains(t, fmt.Sprintf("%v", e), canary)
				}
			})
		})
	}
}

func TestRedirectToAnotherOriginCarriesNothing(t *testing.T) {
	t.Parallel()
	for name, check := range map[string]func(*http.Client){
		"our client":                func(*http.Client) {},
		"somebody else's client":    func(c *http.Client) { c.CheckRedirect = nil },
		"another port is elsewhere": func(*http.Client) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var hosts []string
				target := "http://evil.example.net/"
				if strings.HasPrefix(name, "another port") {
					target = "http://api.example.com:8080/"
				}
				cl := client(t, retry.Config{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					hosts = append(hosts, r.Host)
					http.Redirect(w, r, target, http.StatusTemporaryRedirect)
				}))
				check(cl)
				_, err := retry.Do(cl, request(t, "POST", "X-Api-Key", "secret"))
				require.Error(t, err)
				require.Equal(t, []string{"api.example.com"}, hosts)
				require.Equal(t, dovetail.Permanent, dovetail.Classify(err))
				if name != "somebody else's client" {
					e, _ := errors.AsType[*retry.Error](err)
					require.Equal(t, http.StatusTemporaryRedirect, e.Status, "the answer itself is handed back")
				}
			})
		})
	}
}

func TestRedirectWithinTheOriginIsFollowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cl := client(t, retry.Config{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/invoices" {
				http.Redirect(w, r, "/v2/invoices", http.StatusPermanentRedirect)
				return
			}
			_, _ = io.Copy(w, r.Body)
		}))
		resp, err := retry.Do(cl, request(t, "POST"))
		require.NoError(t, err)
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.JSONEq(t, `{"total":12}`, string(b))
	})
}

func TestEventsTellOfEachAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{}
		var traced string
		cl := client(t, retry.Config{Observer: rec}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { traced = r.Header.Get("Traceparent") }),
			dovetailtest.On(dovetailtest.Answer(502, ""), 1))
		req := request(t, "GET")
		resp, err := retry.Do(cl, req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, "00-trace", traced)
		require.Empty(t, req.Header, "the caller's request is untouched")
		var got []string
		for _, e := range rec.events {
			if e.Outcome != "" {
				got = append(got, fmt.Sprintf("%s %d %s %s", e.Name, e.Attempt, e.Outcome, e.Class))
			}
		}
		require.Equal(t, []string{"retry.attempt 1 502 unavailable", "retry.attempt 2 200 unclassified"}, got)
	})
}

func TestConfigNamesEveryFaultAtOnce(t *testing.T) {
	t.Parallel()
	_, err := retry.NewClient(retry.Config{Quotas: []retry.Quota{nil, retry.Window{Limit: 5}, retry.Concurrency{}}, Burst: 3, Attempts: -1, Unprocessed: []int{200}})
	for _, want := range []string{"Config.System: required", "Config.Quotas[0]", "Config.Quotas[1]", "Config.Quotas[2]", "Config.Rate", "Config.Attempts", "Config.Unprocessed"} {
		require.ErrorContains(t, err, want)
	}
}

func TestErrorOfReadsTheProblemAndLeavesTheBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const body = `{"type":"https://api.example.com/problems/quota-exceeded","title":"Slow down"}`
		base := dovetailtest.Faulty(nil, dovetailtest.Answer(429, body, "Content-Type", "application/problem+json; charset=utf-8", "Retry-After", "2.5", "X-Request-Id", "r-1"))
		resp, err := base.RoundTrip(request(t, "POST"))
		require.NoError(t, err)
		e, ok := errors.AsType[*retry.Error](retry.ErrorOf(resp))
		require.True(t, ok)
		require.Equal(t, "quota-exceeded", e.Code)
		require.Equal(t, "r-1", e.RequestID)
		require.Equal(t, dovetail.RateLimited, e.Class())
		require.Equal(t, 2500*time.Millisecond, e.RetryAfter())
		require.True(t, e.NotApplied())
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, body, string(b))
		require.NoError(t, resp.Body.Close())
	})
}
