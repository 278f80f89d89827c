package retry_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/retry"
)

const api = "http://api.example.com/invoices"

type counter struct{ n atomic.Int64 }

// ServeHTTP is a write that takes effect.
func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	c.n.Add(1)
	w.WriteHeader(http.StatusCreated)
}

func client(t testing.TB, cfg retry.Config, h http.Handler, faults ...dovetailtest.HTTPFault) *http.Client {
	t.Helper()
	cfg.System = "billing"
	cfg.Base = dovetailtest.Faulty(dovetailtest.Transport(h), faults...)
	c, err := retry.NewClient(cfg)
	require.NoError(t, err)
	return c
}

func request(t testing.TB, method string, headers ...string) *http.Request {
	t.Helper()
	var body io.Reader
	if method != http.MethodGet && method != http.MethodHead {
		body = strings.NewReader(`{"total":12}`)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, api, body)
	require.NoError(t, err)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return req
}

// TestDecisionTable goes through every cell: what is sent how often, what the
// class is, and whether it is proven that nothing happened.
func TestDecisionTable(t *testing.T) {
	t.Parallel()
	status := func(s int, headers ...string) dovetailtest.HTTPFault { return dovetailtest.Answer(s, "", headers...) }
	const get, put, post, keyed, match = "GET", "PUT", "POST", "keyed POST", "PATCH with If-Match"
	for _, c := range []struct {
		name    string
		fault   dovetailtest.HTTPFault
		method  string
		sent    int
		class   dovetail.Class
		undone  bool
		unsent  bool
		special []int
	}{
		{"refused", dovetailtest.Refused(), get, 4, dovetail.Unavailable, true, true, nil},
		{"refused", dovetailtest.Refused(), post, 4, dovetail.Unavailable, true, true, nil},
		{"429", status(429), get, 4, dovetail.RateLimited, true, false, nil},
		{"429", status(429), post, 4, dovetail.RateLimited, true, false, nil},
		{"408", status(408), post, 4, dovetail.Transient, true, false, nil},
		{"421", status(421), post, 4, dovetail.Transient, true, false, nil},
		{"425", status(425), post, 4, dovetail.Transient, true, false, nil},
		{"403 that asks to wait", status(403, "Retry-After", "1"), post, 4, dovetail.RateLimited, true, false, nil},
		{"403", status(403), get, 1, dovetail.Auth, true, false, nil},
		{"401", status(401), post, 1, dovetail.Auth, true, false, nil},
		{"400", status(400), post, 1, dovetail.Invalid, true, false, nil},
		{"404", status(404), post, 1, dovetail.NotFound, true, false, nil},
		{"405", status(405), post, 1, dovetail.Permanent, true, false, nil},
		{"410", status(410), get, 1, dovetail.NotFound, false, false, nil},
		{"412", status(412), put, 1, dovetail.Conflict, false, false, nil},
		{"413", status(413), post, 1, dovetail.Invalid, true, false, nil},
		{"415", status(415), post, 1, dovetail.Permanent, true, false, nil},
		{"422", status(422), post, 1, dovetail.Invalid, true, false, nil},
		{"409", status(409), put, 1, dovetail.Conflict, false, false, nil},
		{"409", status(409), post, 1, dovetail.Conflict, false, false, nil},
		{"409 while the key is in use", status(409), keyed, 4, dovetail.Conflict, false, false, nil},
		{"500", status(500), get, 4, dovetail.Transient, false, false, nil},
		{"500", status(500), put, 4, dovetail.Transient, false, false, nil},
		{"500", status(500), keyed, 4, dovetail.Transient, false, false, nil},
		{"500", status(500), match, 4, dovetail.Transient, false, false, nil},
		{"500", status(500), post, 1, dovetail.InDoubt, false, false, nil},
		{"502", status(502), put, 4, dovetail.Unavailable, false, false, nil},
		{"502", status(502), post, 1, dovetail.InDoubt, false, false, nil},
		{"504", status(504), post, 1, dovetail.InDoubt, false, false, nil},
		{"501", status(501), get, 1, dovetail.Permanent, false, false, nil},
		{"505", status(505), post, 1, dovetail.Permanent, false, false, nil},
		{"503 that asks to wait", status(503, "Retry-After", "1"), get, 4, dovetail.Unavailable, false, false, nil},
		{"503 that asks to wait", status(503, "Retry-After", "1"), post, 1, dovetail.InDoubt, false, false, nil},
		{"503 of an API that says so", status(503, "Retry-After", "1"), post, 4, dovetail.Unavailable, true, false, []int{503}},
		{"lost reply", dovetailtest.LostReply(), get, 4, dovetail.Transient, false, false, nil},
		{"lost reply", dovetailtest.LostReply(), put, 4, dovetail.Transient, false, false, nil},
		{"lost reply", dovetailtest.LostReply(), keyed, 4, dovetail.Transient, false, false, nil},
		{"lost reply", dovetailtest.LostReply(), match, 4, dovetail.Transient, false, false, nil},
		{"lost reply", dovetailtest.LostReply(), post, 1, dovetail.InDoubt, false, false, nil},
		{"no answer", dovetailtest.Hang(), get, 4, dovetail.Transient, false, false, nil},
		{"no answer", dovetailtest.Hang(), post, 1, dovetail.InDoubt, false, false, nil},
	} {
		t.Run(c.method+" "+c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sent := 0
				count := func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
					sent++
					return next.RoundTrip(r)
				}
				cl := client(t, retry.Config{IdempotencyHeader: "Idempotency-Key", Unprocessed: c.special}, &counter{}, count, c.fault)
				method, headers := c.method, []string(nil)
				switch c.method {
				case keyed:
					method, headers = post, []string{"Idempotency-Key", "k1"}
				case match:
					method, headers = "PATCH", []string{"If-Match", `"v1"`}
				}
				_, err := retry.Do(cl, request(t, method, headers...))
				require.Error(t, err)
				require.Equal(t, c.sent, sent, "how often it was sent")
				require.Equal(t, c.class, dovetail.Classify(err), "%v", err)
				e, ok := errors.AsType[*retry.Error](err)
				require.True(t, ok)
				require.Equal(t, c.undone, e.NotApplied(), "NotApplied of %v", err)
				require.Equal(t, c.unsent, retry.Unsent(err), "Unsent of %v", err)
				require.Equal(t, c.sent, e.Attempts)
			})
		})
	}
}

func TestPostIsNeverSentAgainAfterALostReply(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := &counter{}, &counter{}
		cl := client(t, retry.Config{}, ours, dovetailtest.LostReply())
		_, err := retry.Do(cl, request(t, "POST"))
		require.Equal(t, dovetail.InDoubt, dovetail.Classify(err))
		require.EqualValues(t, 1, ours.n.Load())

		alone := retryablehttp.NewClient()
		alone.Logger, alone.RetryMax = nil, 3
		alone.HTTPClient = &http.Client{Transport: dovetailtest.Faulty(dovetailtest.Transport(theirs), dovetailtest.LostReply())}
		_, err = alone.StandardClient().Do(request(t, "POST"))
		require.Error(t, err)
		require.EqualValues(t, 4, theirs.n.Load(), "what this package is for: the engine alone makes four invoices")
	})
}

// A refusal of the repetition says nothing about the original.
func TestRefusalAfterALostReplyIsNoProof(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		then  dovetailtest.HTTPFault
		class dovetail.Class
	}{
		"429":     {dovetailtest.TooMany(""), dovetail.Transient},
		"422":     {dovetailtest.Answer(422, ""), dovetail.InDoubt},
		"401":     {dovetailtest.Answer(401, ""), dovetail.InDoubt},
		"refused": {dovetailtest.Refused(), dovetail.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				done := &counter{}
				cl := client(t, retry.Config{IdempotencyHeader: "Idempotency-Key"}, done,
					dovetailtest.On(dovetailtest.LostReply(), 1), dovetailtest.On(c.then, 2, 3, 4))
				_, err := retry.Do(cl, request(t, "POST", "Idempotency-Key", "k"))
				require.Equal(t, c.class, dovetail.Classify(err), "%v", err)
				e, _ := errors.AsType[*retry.Error](err)
				require.False(t, e.NotApplied())
				require.False(t, retry.Unsent(err))
			})
		})
	}
}

func TestSafeToRepeatRepeats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		done := &counter{}
		cl := client(t, retry.Config{}, done, dovetailtest.On(dovetailtest.LostReply(), 1))
		req := request(t, "POST")
		resp, err := retry.Do(cl, req.WithContext(retry.SafeToRepeat(req.Context())))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.EqualValues(t, 2, done.n.Load())
	})
}

func TestTransportModeReturnsTheAnswerWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cl := client(t, retry.Config{}, &counter{}, dovetailtest.Answer(503, `{"why":"maintenance"}`))
		resp, err := cl.Do(request(t, "GET"))
		require.NoError(t, err)
		require.Equal(t, 503, resp.StatusCode)
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, `{"why":"maintenance"}`, string(b))
		require.Equal(t, dovetail.Unavailable, dovetail.Classify(retry.ErrorOf(resp)))
	})
}

func TestDeadlineShorterThanTheWaitFailsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cl := client(t, retry.Config{}, &counter{}, dovetailtest.TooMany("20"))
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		start := time.Now()
		_, err := retry.Do(cl, request(t, "GET").WithContext(ctx))
		require.Equal(t, dovetail.RateLimited, dovetail.Classify(err))
		require.Zero(t, time.Since(start))
		wait, ok := dovetail.RetryAfter(err)
		require.True(t, ok)
		require.GreaterOrEqual(t, wait, 20*time.Second)

		_, err = retry.Do(cl, request(t, "GET").WithContext(ctx)) // before its first attempt
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.True(t, retry.Unsent(err))
		require.Zero(t, time.Since(start))
	})
}

func TestRetryAfterPausesEveryCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		done := &counter{}
		cl := client(t, retry.Config{}, done, dovetailtest.On(dovetailtest.TooMany("20"), 1))
		start := time.Now()
		go func() { _, _ = retry.Do(cl, request(t, "GET")) }()
		synctest.Wait()
		_, err := retry.Do(cl, request(t, "GET"))
		require.NoError(t, err)
		require.GreaterOrEqual(t, time.Since(start), 20*time.Second, "another call waits as well")
		time.Sleep(time.Minute)
	})
}

func TestWaitAboveMaxInlineWaitIsHandedBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cl := client(t, retry.Config{}, &counter{}, dovetailtest.TooMany("66975"))
		start := time.Now()
		for range 2 { // the second is refused here
			_, err := retry.Do(cl, request(t, "POST"))
			require.Equal(t, dovetail.RateLimited, dovetail.Classify(err))
			wait, _ := dovetail.RetryAfter(err)
			require.GreaterOrEqual(t, wait, 66975*time.Second)
			e, _ := errors.AsType[*retry.Error](err)
			require.True(t, e.NotApplied())
		}
		require.Zero(t, time.Since(start))
	})
}
