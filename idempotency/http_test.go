package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/idempotency"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
)

// A shop is a handler behind the middleware that counts what it does.
type shop struct {
	http.Handler
	store *memstore.Store
	runs  atomic.Int64
	told  told
}

// told keeps the events.
type told struct {
	mu     sync.Mutex
	events []dovetail.Event
}

func (*told) Start(ctx context.Context, _ dovetail.Event) context.Context { return ctx }
func (o *told) Record(_ context.Context, e dovetail.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = append(o.events, e)
}

func byTenant(r *http.Request) (string, error) {
	if name := r.Header.Get("Tenant"); name != "" {
		return name, nil
	}
	return "", errors.New("nobody is logged in")
}

func openShop(t *testing.T, c idempotency.HTTPConfig, handle func(w http.ResponseWriter, r *http.Request)) *shop {
	t.Helper()
	s := &shop{store: memstore.New()}
	if c.Store == nil {
		c.Store = s.store
	}
	if c.OnDoubt == 0 {
		c.OnDoubt = idempotency.Park
	}
	c.Scope, c.Observer = byTenant, &s.told
	protect, err := idempotency.Middleware(c)
	require.NoError(t, err)
	s.Handler = protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.runs.Add(1)
		handle(w, r)
	}))
	return s
}

// order is a request to the shop.
func order(key, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/orders?dry=no", strings.NewReader(body))
	r.Header.Set("Tenant", "acme")
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	return r
}

// send returns what the shop answers.
func (s *shop) send(r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Result()
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return string(b)
}

// refused checks that an answer is a problem of a status.
func refused(t *testing.T, status int, r *http.Response) {
	t.Helper()
	require.Equal(t, status, r.StatusCode)
	require.Equal(t, "application/problem+json", r.Header.Get("Content-Type"))
	require.Contains(t, text(t, r), fmt.Sprintf(`"status":%d`, status))
}

func created(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Location", "/orders/1")
	w.Header().Set("Set-Cookie", "session=secret")
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, "made of %s", body)
}

func TestARequestThatComesAgainIsAnsweredAndNotRun(t *testing.T) {
	t.Parallel()
	s := openShop(t, idempotency.HTTPConfig{}, created)
	first := s.send(order("k-1", "two books"))
	require.Equal(t, http.StatusCreated, first.StatusCode)
	require.Equal(t, "session=secret", first.Header.Get("Set-Cookie"), "the handler's own answer goes through as it is")
	require.Empty(t, first.Header.Get("Idempotent-Replayed"))
	require.Equal(t, "made of two books", text(t, first))
	for _, key := range []string{"k-1", `"k-1"`, ` "k-1" `} { // RFC 8941 and bare are the same key
		again := s.send(order(key, "two books"))
		require.Equal(t, http.StatusCreated, again.StatusCode)
		require.Equal(t, "true", again.Header.Get("Idempotent-Replayed"))
		require.Equal(t, "/orders/1", again.Header.Get("Location"))
		require.Empty(t, again.Header.Get("Set-Cookie"), "a cookie is one client's")
		require.Equal(t, "made of two books", text(t, again))
	}
	require.EqualValues(t, 1, s.runs.Load())
}

func TestOfManyAtOnceOneRuns(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	s := openShop(t, idempotency.HTTPConfig{}, func(w http.ResponseWriter, r *http.Request) {
		<-hold
		created(w, r)
	})
	var wg sync.WaitGroup
	var busy, done atomic.Int64
	for range 50 {
		wg.Go(func() {
			switch r := s.send(order("k", "x")); r.StatusCode {
			case http.StatusConflict:
				if r.Header.Get("Retry-After") != "" && busy.Add(1) == 49 {
					close(hold)
				}
			case http.StatusCreated:
				done.Add(1)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 49, busy.Load())
	require.EqualValues(t, 1, done.Load())
	require.EqualValues(t, 1, s.runs.Load())
}

func TestTheSameKeyForAnotherRequestIsRefused(t *testing.T) {
	t.Parallel()
	s := openShop(t, idempotency.HTTPConfig{}, created)
	s.send(order("k", "x"))
	refused(t, http.StatusUnprocessableEntity, s.send(order("k", "y")))
	for _, target := range []string{"/orders?dry=yes", "/orders/?dry=no", "/orders"} {
		r := order("k", "x")
		r.URL, _ = r.URL.Parse(target)
		refused(t, http.StatusUnprocessableEntity, s.send(r))
	}
	patch := order("k", "x")
	patch.Method = http.MethodPatch
	refused(t, http.StatusUnprocessableEntity, s.send(patch))
	require.EqualValues(t, 1, s.runs.Load())
	other := order("k", "y")
	other.Header.Set("Tenant", "globex")
	require.Equal(t, http.StatusCreated, s.send(other).StatusCode, "another caller's key is another key")
}

func TestAMissingOrMalformedKeyIsRefused(t *testing.T) {
	t.Parallel()
	s := openShop(t, idempotency.HTTPConfig{}, created)
	for _, key := range []string{"", " ", `""`, `"open`, `"a"b"`, `"a\x"`, `"a\`, "caf\u00e9", "a\x01b", "a\x00b", strings.Repeat("k", 256)} {
		refused(t, http.StatusBadRequest, s.send(order(key, "x")))
	}
	two := order("a", "x")
	two.Header.Add("Idempotency-Key", "b")
	refused(t, http.StatusBadRequest, s.send(two))
	nobody := order("k", "x")
	nobody.Header.Del("Tenant")
	refused(t, http.StatusUnauthorized, s.send(nobody))
	require.Zero(t, s.runs.Load())
	require.Equal(t, http.StatusCreated, s.send(order(strings.Repeat("k", 255), "x")).StatusCode)
	require.Equal(t, http.StatusCreated, s.send(order(`"a \"quoted\" \\ key"`, "x")).StatusCode)

	open := openShop(t, idempotency.HTTPConfig{AllowMissing: true}, created)
	require.Equal(t, http.StatusCreated, open.send(order("", "x")).StatusCode)
	require.Equal(t, http.StatusCreated, open.send(order("", "x")).StatusCode)
	require.EqualValues(t, 2, open.runs.Load(), "unprotected, as was asked for")
	refused(t, http.StatusBadRequest, open.send(order(`"open`, "x")))
}

func TestOtherMethodsPass(t *testing.T) {
	t.Parallel()
	s := openShop(t, idempotency.HTTPConfig{}, created)
	for range 2 {
		r := order("k", "")
		r.Method = http.MethodGet
		require.Empty(t, s.send(r).Header.Get("Idempotent-Replayed"))
	}
	require.EqualValues(t, 2, s.runs.Load())
}

func TestWhatAStatusSays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status  int
		onDoubt idempotency.OnDoubt
		proof   bool // the handler says that it did nothing
		again   int  // status of the same request, sent again
		runs    int64
	}{
		{200, idempotency.Park, false, 200, 1}, {204, idempotency.Park, false, 204, 1}, {302, idempotency.Park, false, 302, 1},
		{400, idempotency.Park, false, 400, 1}, {404, idempotency.Park, false, 404, 1}, {422, idempotency.Park, false, 422, 1},
		{408, idempotency.Park, false, 408, 2}, {409, idempotency.Park, false, 409, 2}, {425, idempotency.Park, false, 425, 2}, {429, idempotency.Park, false, 429, 2},
		{500, idempotency.Park, false, 409, 1}, {503, idempotency.Park, false, 409, 1}, {500, idempotency.MayRepeat, false, 500, 2},
		{500, idempotency.Park, true, 500, 2}, {200, idempotency.Park, true, 200, 2},
	} {
		s := openShop(t, idempotency.HTTPConfig{OnDoubt: c.onDoubt}, func(w http.ResponseWriter, r *http.Request) {
			if c.proof {
				require.NoError(t, idempotency.RequestNotApplied(r.Context()))
			}
			w.WriteHeader(c.status)
		})
		require.Equal(t, c.status, s.send(order("k", "x")).StatusCode)
		require.Equal(t, c.again, s.send(order("k", "x")).StatusCode, "%+v", c)
		require.Equal(t, c.runs, s.runs.Load(), "%+v", c)
		if c.onDoubt == idempotency.Park && c.status >= 500 && !c.proof {
			e := s.told.events[0]
			require.Equal(t, dovetail.InDoubt, e.Class, "a person is told")
			require.Equal(t, "acme/k", e.Key)
			k := idempotency.Key{Scope: "acme", ID: "k"}
			require.NoError(t, idempotency.Resolve(t.Context(), s.store, k, idempotency.DidNotHappen(), "ann"))
			require.Equal(t, c.status, s.send(order("k", "x")).StatusCode, "the answer lets it run again")
		}
	}
}

func TestAPanicGoesOnAndLeavesADoubt(t *testing.T) {
	t.Parallel()
	s := openShop(t, idempotency.HTTPConfig{}, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	require.PanicsWithValue(t, http.ErrAbortHandler, func() { s.send(order("k", "x")) })
	refused(t, http.StatusConflict, s.send(order("k", "x")))
	require.EqualValues(t, 1, s.runs.Load())
	require.Equal(t, "panicked", s.told.events[0].Outcome)
	require.Equal(t, dovetail.InDoubt, s.told.events[0].Class)
}

// A stream, and an answer that is too large, go through whole; they are not kept, and
// the request does not run again.
func TestWhatIsNotKeptIsNotRunAgain(t *testing.T) {
	t.Parallel()
	for name, handle := range map[string]func(w http.ResponseWriter, r *http.Request){
		"stream": func(w http.ResponseWriter, _ *http.Request) {
			for n := range 3 {
				fmt.Fprintln(w, n)
				w.(http.Flusher).Flush()
			}
		},
		"large": func(w http.ResponseWriter, _ *http.Request) {
			for range 100 {
				_, _ = io.WriteString(w, strings.Repeat("x", 100))
			}
		},
	} {
		s := openShop(t, idempotency.HTTPConfig{MaxBytes: 5000}, handle)
		server := httptest.NewServer(s)
		defer server.Close()
		send := func() *http.Response {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader("x"))
			require.NoError(t, err)
			req.Header = http.Header{"Tenant": {"acme"}, "Idempotency-Key": {"k"}}
			r, err := server.Client().Do(req)
			require.NoError(t, err)
			t.Cleanup(func() { _ = r.Body.Close() })
			return r
		}
		first := send()
		require.Equal(t, http.StatusOK, first.StatusCode, name)
		require.Contains(t, []int{6, 10_000}, len(text(t, first)), name)
		refused(t, http.StatusConflict, send())
		require.EqualValues(t, 1, s.runs.Load(), name)
		refused(t, http.StatusRequestEntityTooLarge, s.send(order("large", strings.Repeat("x", 5001))))
	}
}

// A request whose process died is not run again by itself, and one that takes longer
// than its lease is not run twice.
func TestALongRequestKeepsItsKeyAndADeadOneParksIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := openShop(t, idempotency.HTTPConfig{}, func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(5 * time.Minute)
			created(w, r)
		})
		go s.send(order("k", "x"))
		time.Sleep(4 * time.Minute)
		busy := s.send(order("k", "x"))
		require.Equal(t, "10", busy.Header.Get("Retry-After"))
		refused(t, http.StatusConflict, busy)
		time.Sleep(2 * time.Minute)
		require.Equal(t, "true", s.send(order("k", "x")).Header.Get("Idempotent-Replayed"))

		// What a process leaves that died after it had begun.
		k := idempotency.Key{Scope: "acme", ID: "dead"}
		dead := &process{Store: s.store, DieAt: "after mark"}
		died := openShop(t, idempotency.HTTPConfig{Store: dead}, created)
		refused(t, http.StatusServiceUnavailable, died.send(order("dead", "x")))
		require.Zero(t, died.runs.Load())
		time.Sleep(time.Minute)
		refused(t, http.StatusConflict, s.send(order("dead", "x")))
		e, _, err := s.store.Get(t.Context(), k)
		require.NoError(t, err)
		require.Equal(t, idempotency.Doubt, e.State)
	})
}

// With CompleteRequest the handler's own transaction decides: after a crash behind its
// commit the request is answered as it would have been.
func TestAnAnswerThatCommitsWithTheHandlersTransaction(t *testing.T) {
	t.Parallel()
	crash, commit := true, true
	var s *shop
	s = openShop(t, idempotency.HTTPConfig{OnDoubt: idempotency.MayRepeat}, func(w http.ResponseWriter, r *http.Request) {
		reply := idempotency.Reply{Status: http.StatusCreated, Header: http.Header{"Location": {"/orders/7"}}, Body: []byte("seven")}
		err := s.store.Transact(r.Context(), func(ctx context.Context, tx outbox.Tx) error {
			if err := idempotency.CompleteRequest(ctx, tx, reply); err != nil || commit {
				return err
			}
			return errors.New("the commit failed")
		})
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		if crash {
			panic("the process dies")
		}
		w.WriteHeader(reply.Status)
		_, _ = w.Write(reply.Body)
	})
	require.Panics(t, func() { s.send(order("k", "x")) })
	again := s.send(order("k", "x"))
	require.Equal(t, http.StatusCreated, again.StatusCode)
	require.Equal(t, "/orders/7", again.Header.Get("Location"))
	require.Equal(t, "seven", text(t, again))
	require.EqualValues(t, 1, s.runs.Load())

	crash, commit = false, false
	require.Equal(t, http.StatusInternalServerError, s.send(order("l", "x")).StatusCode)
	commit = true
	require.Equal(t, http.StatusCreated, s.send(order("l", "x")).StatusCode, "what was rolled back runs again")
	require.Equal(t, "true", s.send(order("l", "x")).Header.Get("Idempotent-Replayed"))
	require.EqualValues(t, 3, s.runs.Load())

	require.ErrorIs(t, idempotency.CompleteRequest(t.Context(), nil, idempotency.Reply{}), idempotency.ErrNoRequest)
	require.ErrorIs(t, idempotency.RequestNotApplied(t.Context()), idempotency.ErrNoRequest)
}

// If the ledger cannot be written, nothing runs.
func TestWithoutALedgerNothingRuns(t *testing.T) {
	t.Parallel()
	s := openShop(t, idempotency.HTTPConfig{Store: &process{Store: memstore.New(), DieAt: "before claim"}}, created)
	r := s.send(order("k", "x"))
	require.Equal(t, "5", r.Header.Get("Retry-After"))
	refused(t, http.StatusServiceUnavailable, r)
	require.Zero(t, s.runs.Load())
	require.Error(t, s.told.events[0].Err)
}

func TestMiddlewareRefusesOpenDecisions(t *testing.T) {
	t.Parallel()
	_, err := idempotency.Middleware(idempotency.HTTPConfig{Lease: time.Millisecond, MaxBytes: -1})
	for _, part := range []string{"IDM021", "HTTPConfig.Store", "IDM022", "HTTPConfig.Scope", "IDM023", "HTTPConfig.OnDoubt", "IDM024"} {
		require.ErrorContains(t, err, part)
	}
}

// FuzzRequestKey: no header panics or passes as two keys, and a key is the same bare
// and quoted.
func FuzzRequestKey(f *testing.F) {
	for _, s := range []string{"k-1", `"k-1"`, `"a\"b"`, `"`, `"\`, "", " x ", "a\"b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		s := openShop(t, idempotency.HTTPConfig{}, created)
		send := func(value string) int {
			r := order("", "x")
			r.Header["Idempotency-Key"] = []string{value}
			return s.send(r).StatusCode
		}
		first := send(header)
		require.Contains(t, []int{http.StatusBadRequest, http.StatusCreated}, first)
		require.Equal(t, first, send(header))
		if first == http.StatusBadRequest {
			require.Zero(t, s.runs.Load())
			return
		}
		if bare := strings.Trim(header, " \t"); !strings.HasPrefix(bare, `"`) {
			require.Equal(t, first, send(`"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(bare)+`"`))
		}
		require.EqualValues(t, 1, s.runs.Load())
	})
}
