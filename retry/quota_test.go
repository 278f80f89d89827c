package retry_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/retry"
)

// strict is an API with a sliding window in which rejected calls count as well.
type strict struct {
	limit int
	per   time.Duration

	mu       sync.Mutex
	seen     []time.Time
	ok, no   int
	now, max int
}

// ServeHTTP answers 429 above the limit, after a network delay on both ways.
func (s *strict) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	time.Sleep(time.Duration(75+rand.IntN(150)) * time.Millisecond)
	s.mu.Lock()
	at := time.Now()
	for len(s.seen) > 0 && at.Sub(s.seen[0]) >= s.per {
		s.seen = s.seen[1:]
	}
	s.seen = append(s.seen, at)
	over := len(s.seen) > s.limit
	s.now++
	s.max = max(s.max, s.now)
	if over {
		s.no++
	} else {
		s.ok++
	}
	s.mu.Unlock()
	time.Sleep(time.Duration(75+rand.IntN(150)) * time.Millisecond)
	s.mu.Lock()
	s.now--
	s.mu.Unlock()
	if over {
		w.WriteHeader(http.StatusTooManyRequests)
	}
}

// drive has workers call without pause until end, coming again when told.
func drive(end time.Time, workers int, call func() error) {
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for time.Now().Before(end) {
				if wait, ok := dovetail.RetryAfter(call()); ok {
					time.Sleep(min(wait, time.Until(end)))
				}
			}
		})
	}
	all.Wait()
}

const quotaRun = 30 * time.Minute

func TestWindowQuotaMeetsNo429AtFullUse(t *testing.T) {
	t.Parallel()
	var share, plainShare float64
	synctest.Test(t, func(t *testing.T) {
		api := &strict{limit: 60, per: time.Minute}
		cl := client(t, retry.Config{Quotas: []retry.Quota{retry.Window{Limit: 60, Per: time.Minute}, retry.Concurrency{Max: 5}}}, api)
		drive(time.Now().Add(quotaRun), 50, func() error {
			resp, err := retry.Do(cl, request(t, "GET"))
			if err == nil {
				_ = resp.Body.Close()
			}
			return err
		})
		require.Zero(t, api.no, "no request was rejected")
		require.LessOrEqual(t, api.max, 5, "at the same time")
		share = float64(api.ok) / 60 / quotaRun.Minutes()
		require.GreaterOrEqual(t, share, 0.99, "of the quota was used")
	})
	synctest.Test(t, func(t *testing.T) {
		api := &strict{limit: 60, per: time.Minute}
		limiter := rate.NewLimiter(1, 60)
		base := dovetailtest.Transport(api)
		drive(time.Now().Add(quotaRun), 50, func() error {
			if err := limiter.Wait(context.Background()); err != nil {
				return err
			}
			resp, err := base.RoundTrip(request(t, "GET"))
			if err == nil {
				_ = resp.Body.Close()
			}
			return err
		})
		plainShare = float64(api.ok) / 60 / quotaRun.Minutes()
		require.Positive(t, api.no)
		t.Logf("60 a minute, rejected calls count: this package %.1f %% of the quota and 0 rejected; x/time/rate alone %.1f %% and %d rejected",
			100*share, 100*plainShare, api.no)
	})
}

func TestLargeWindowIsKeptInFixedMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := &strict{limit: 5000, per: time.Hour}
		cl := client(t, retry.Config{MaxInlineWait: time.Hour, Quotas: []retry.Quota{retry.Window{Limit: 5000, Per: time.Hour}}}, api)
		drive(time.Now().Add(90*time.Minute), 100, func() error {
			resp, err := retry.Do(cl, request(t, "GET"))
			if err == nil {
				_ = resp.Body.Close()
			}
			return err
		})
		require.Zero(t, api.no)
		require.GreaterOrEqual(t, api.ok, 9900)
	})
}

// A call that one quota has no room for takes nothing from the others.
func TestQuotasAreTakenAllOrNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		done := &counter{}
		cl := client(t, retry.Config{MaxInlineWait: time.Second, Quotas: []retry.Quota{
			retry.Window{Limit: 4, Per: time.Hour}, retry.Window{Limit: 1, Per: 10 * time.Second},
		}}, done)
		for i := range 4 {
			for range 3 { // two of them are refused by the short window
				resp, err := retry.Do(cl, request(t, "POST"))
				if err == nil {
					_ = resp.Body.Close()
				} else {
					require.Equal(t, dovetail.RateLimited, dovetail.Classify(err))
					require.True(t, retry.Unsent(err))
				}
			}
			require.EqualValues(t, i+1, done.n.Load(), "refused calls used up the long window")
			time.Sleep(11 * time.Second)
		}
	})
}

func TestUnsentRequestGivesItsSlotBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		done := &counter{}
		cl := client(t, retry.Config{MaxInlineWait: 5 * time.Second, Quotas: []retry.Quota{retry.Window{Limit: 1, Per: time.Hour}}}, done,
			dovetailtest.On(dovetailtest.Refused(), 1))
		resp, err := retry.Do(cl, request(t, "POST"))
		require.NoError(t, err, "the API did not count what it never saw")
		require.NoError(t, resp.Body.Close())
	})
}

func TestConcurrencyIsHeldUntilTheBodyIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cl := client(t, retry.Config{MaxInlineWait: time.Second, Quotas: []retry.Quota{retry.Concurrency{Max: 1}}},
			http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")) }))
		first, err := cl.Do(request(t, "GET"))
		require.NoError(t, err)
		_, err = retry.Do(cl, request(t, "GET"))
		require.Equal(t, dovetail.RateLimited, dovetail.Classify(err))
		require.NoError(t, first.Body.Close())
		second, err := cl.Do(request(t, "GET"))
		require.NoError(t, err)
		require.NoError(t, second.Body.Close())
	})
}

func TestSmoothingKeepsTheRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cl := client(t, retry.Config{Rate: 2, Burst: 1}, &counter{})
		start := time.Now()
		for range 11 {
			resp, err := retry.Do(cl, request(t, "GET"))
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
		}
		require.InDelta(t, 5, time.Since(start).Seconds(), 0.01)
	})
}

func TestOutageIsProbedGentlyAndEndsFast(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]dovetailtest.HTTPFault{"refused": nil, "503": dovetailtest.Answer(503, "")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const workers, length = 100, 20 * time.Minute
				var outage dovetailtest.Outage
				slow := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(200 * time.Millisecond) })
				cl := client(t, retry.Config{}, slow, outage.Fault, dovetailtest.Slow(50*time.Millisecond))
				outage.Down(fault)
				var all sync.WaitGroup
				var last atomic.Int64
				start := time.Now()
				for range workers {
					all.Go(func() {
						for {
							resp, err := retry.Do(cl, request(t, "PUT"))
							if err == nil {
								_ = resp.Body.Close()
								last.Store(max(last.Load(), int64(time.Since(start))))
								return
							}
							require.NotEqual(t, dovetail.InDoubt, dovetail.Classify(err))
							wait, ok := dovetail.RetryAfter(err)
							require.True(t, ok, "says when to come again: %v", err)
							time.Sleep(wait)
						}
					})
				}
				time.Sleep(length)
				outage.Up()
				all.Wait()
				recovery := time.Duration(last.Load()) - length
				t.Logf("%d workers, %s: %d requests into the outage, all done %s after it", workers, length, outage.Hits(), recovery.Round(time.Millisecond))
				require.LessOrEqual(t, outage.Hits(), 2*workers)
				require.LessOrEqual(t, recovery, 40*time.Second)
			})
		})
	}
}

func TestOneProbeAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		var outage dovetailtest.Outage
		watch := func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			time.Sleep(300 * time.Millisecond)
			return next.RoundTrip(r)
		}
		cl := client(t, retry.Config{}, &counter{}, watch, outage.Fault)
		outage.Down(nil)
		for range 5 { // opens it
			_, _ = retry.Do(cl, request(t, "GET"))
		}
		most.Store(0)
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { _, _ = retry.Do(cl, request(t, "GET")) })
		}
		all.Wait()
		require.EqualValues(t, 1, most.Load())
		_, err := retry.Do(cl, request(t, "POST"))
		e, ok := errors.AsType[*retry.Error](err)
		require.True(t, ok)
		require.True(t, e.NotApplied())
		require.True(t, retry.Unsent(err))
		require.Equal(t, dovetail.Unavailable, e.Class())
	})
}

func TestRetryBudgetBoundsTheLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		flaky := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			sent++
			w.WriteHeader(http.StatusInternalServerError)
		})
		cl := client(t, retry.Config{Breaker: retry.Breaker{InARow: -1}, Backoff: retry.Backoff{Base: time.Microsecond}}, flaky)
		for range 200 {
			_, err := retry.Do(cl, request(t, "GET"))
			require.Error(t, err)
		}
		require.LessOrEqual(t, sent, 200+20+200/5+2)
	})
}

// A write that may not be repeated is not the one to find out whether the system
// is back, as long as another call waits that may.
func TestProbeIsACallThatMayBeRepeated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var order []string
		note := func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
			mu.Lock()
			order = append(order, r.Method)
			mu.Unlock()
			return next.RoundTrip(r)
		}
		cl := client(t, retry.Config{Attempts: 1}, &counter{}, note, dovetailtest.On(dovetailtest.Answer(http.StatusBadGateway, ""), 1, 2, 3, 4, 5))
		for range 5 { // opens the breaker
			_, _ = retry.Do(cl, request(t, http.MethodGet))
		}
		order = nil
		var all sync.WaitGroup
		for _, method := range []string{http.MethodPost, http.MethodPost, http.MethodPut} {
			all.Go(func() { _, _ = retry.Do(cl, request(t, method)) })
			synctest.Wait()
		}
		all.Wait()
		require.Equal(t, []string{http.MethodPut, http.MethodPost, http.MethodPost}, order)
	})
}

func TestLoadDoublesWithEachSuccessAfterAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var outage dovetailtest.Outage
		var mu sync.Mutex
		var waves []int
		start, last := time.Now(), time.Duration(-1)
		slow := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			mu.Lock()
			if since := time.Since(start); since != last {
				last, waves = since, append(waves, 0)
			}
			waves[len(waves)-1]++
			mu.Unlock()
			time.Sleep(time.Second)
		})
		cl := client(t, retry.Config{Attempts: 1}, slow, outage.Fault)
		outage.Down(nil)
		for range 5 {
			_, _ = retry.Do(cl, request(t, http.MethodGet))
		}
		outage.Up()
		var all sync.WaitGroup
		for range 40 {
			all.Go(func() { _, _ = retry.Do(cl, request(t, http.MethodPut)) })
		}
		all.Wait()
		require.Equal(t, []int{1, 2}, waves[:2], "the probe, then two; each success doubles what may be on its way: %v", waves)
		require.Greater(t, waves[2], 2)
	})
}
