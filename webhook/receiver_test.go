package webhook

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
)

const (
	secretA = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	secretB = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
)

var bodyText = []byte(`{"id": 4711, "note": "very private"}`)

// brokenStore is a queue's store that can be taken down.
type brokenStore struct {
	outbox.Store
	down bool
	hold func() // before each transaction; nil: nothing
}

var errStoreDown = errors.New("disk is full")

func (s *brokenStore) Transact(ctx context.Context, fn func(ctx context.Context, tx outbox.Tx) error) error {
	if s.hold != nil {
		s.hold()
	}
	if s.down {
		return errStoreDown
	}
	return s.Store.Transact(ctx, fn)
}

// heard keeps what an observer is told.
type heard struct {
	mu     sync.Mutex
	events []dovetail.Event
	start  func(ctx context.Context, message string) // nil: nothing
}

func (h *heard) Start(ctx context.Context, e dovetail.Event) context.Context {
	if h.start != nil {
		h.start(ctx, e.Message)
	}
	return ctx
}

func (h *heard) Record(_ context.Context, e dovetail.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

func (h *heard) of(name string) []dovetail.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []dovetail.Event
	for _, e := range h.events {
		if e.Name == name {
			list = append(list, e)
		}
	}
	return list
}

// bundle is a receiver with all that belongs to it.
type bundle struct {
	t     *testing.T
	store *brokenStore
	queue *outbox.Queue
	heard *heard
	now   time.Time
	r     *Receiver
}

func setup(t *testing.T, v Verifier) *bundle {
	t.Helper()
	b := &bundle{t: t, store: &brokenStore{Store: memstore.New()}, heard: &heard{}, now: time.Unix(1614265330, 0)}
	alerts, err := alert.New(alert.Config{AllowSilence: true})
	require.NoError(t, err)
	b.queue, err = outbox.New(outbox.Config{
		Store: b.store, Alerts: alerts, Observer: b.heard,
		Destinations: []outbox.Destination{{Name: "orders", Handler: outbox.HandlerFunc(func(context.Context, outbox.Delivery) error { return nil })}},
	})
	require.NoError(t, err)
	b.r, err = NewReceiver(Config{
		Source: "shop", Verifier: v, Queue: b.queue, Destination: "orders", MaxBytes: 1000, Observer: b.heard,
		now: func() time.Time { return b.now },
	})
	require.NoError(t, err)
	return b
}

func (b *bundle) send(method string, h http.Header, body io.Reader) *http.Response {
	req := httptest.NewRequest(method, "/hook", body)
	maps.Copy(req.Header, h)
	w := httptest.NewRecorder()
	b.r.ServeHTTP(w, req)
	require.Empty(b.t, w.Body.String(), "an answer has no body")
	return w.Result()
}

func (b *bundle) post(h http.Header, body []byte) *http.Response {
	return b.send(http.MethodPost, h, bytes.NewReader(body))
}

// stored returns what is in the queue.
func (b *bundle) stored() []outbox.Entry {
	page, err := b.store.ReadMessages(context.Background(), outbox.ReadQuery{
		Wants: []outbox.Want{{Destination: "orders", Shards: ^uint64(0)}}, Limit: 100, Bytes: 1 << 20,
	})
	require.NoError(b.t, err)
	return page.Entries
}

func TestVerifiedDeliveryIsStoredBeforeItIsAnswered(t *testing.T) {
	t.Parallel()
	b := setup(t, Standard(secretA))
	h := SignStandard(secretA, "msg_1", b.now, bodyText)
	h.Set("Content-Type", "application/json")
	h.Set("X-Shop-Topic", "orders/create")
	h.Set("X-Api-Key", "hunter2")
	h.Set("Authorization", "Bearer hunter2")
	require.Equal(t, http.StatusOK, b.post(h, bodyText).StatusCode)
	list := b.stored()
	require.Len(t, list, 1)
	require.Equal(t, bodyText, list[0].Payload)
	require.Equal(t, "shop", list[0].Topic)
	require.Equal(t, "orders/create", list[0].Headers["X-Shop-Topic"])
	require.Equal(t, "application/json", list[0].Headers["Content-Type"])
	for name, value := range list[0].Headers {
		require.NotContains(t, value, "hunter2", "header %s with a secret is not kept", name)
		require.NotEqual(t, "Webhook-Signature", name)
	}
}

func TestDuplicateMakesOneMessage(t *testing.T) {
	t.Parallel()
	b := setup(t, Standard(secretA))
	for n := range 3 { // each time it is sent, it is signed anew
		h := SignStandard(secretA, "msg_1", b.now.Add(time.Duration(n)*time.Minute), bodyText)
		require.Equal(t, http.StatusOK, b.post(h, bodyText).StatusCode)
	}
	require.Len(t, b.stored(), 1)
	require.Equal(t, http.StatusOK, b.post(SignStandard(secretA, "msg_2", b.now, bodyText), bodyText).StatusCode)
	require.Len(t, b.stored(), 2, "another delivery with the same body is another")
}

func TestDuplicateWithoutSignedIDIsKnownByItsBody(t *testing.T) {
	t.Parallel()
	const secret = "It's a Secret to Everybody"
	b := setup(t, GitHub(secret))
	h := http.Header{"X-Hub-Signature-256": {"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}}
	for _, id := range []string{"one", "two"} { // not signed, so it says nothing
		h.Set("X-Github-Delivery", id)
		require.Equal(t, http.StatusOK, b.post(h, []byte("Hello, World!")).StatusCode)
	}
	require.Len(t, b.stored(), 1)
}

func TestForgedIsRefusedWithOneAnswerForAllReasons(t *testing.T) {
	t.Parallel()
	b := setup(t, Standard(secretA))
	good := func() http.Header { return SignStandard(secretA, "msg_1", b.now, bodyText) }
	change := func(name, value string) http.Header {
		h := good()
		h.Set(name, value)
		return h
	}
	without := func(name string) http.Header {
		h := good()
		h.Del(name)
		return h
	}
	twice := good()
	twice.Add(standardID, "msg_1")
	cases := map[string]http.Header{
		"none at all":         {},
		"other secret":        SignStandard(secretB, "msg_1", b.now, bodyText),
		"other body":          SignStandard(secretA, "msg_1", b.now, []byte("x")),
		"other id":            change(standardID, "msg_2"),
		"other time":          change(standardTime, "1614265331"),
		"no id":               without(standardID),
		"no time":             without(standardTime),
		"no signature":        without(standardSignature),
		"empty signature":     change(standardSignature, "v1,"),
		"version only":        change(standardSignature, "v1"),
		"not base64":          change(standardSignature, "v1,***"),
		"other version":       change(standardSignature, strings.Replace(good().Get(standardSignature), "v1,", "v2,", 1)),
		"time is no number":   change(standardTime, "now"),
		"time is printed odd": change(standardTime, "+1614265330"),
		"header twice":        twice,
		"too old":             SignStandard(secretA, "msg_1", b.now.Add(-5*time.Minute-time.Second), bodyText),
		"in the future":       SignStandard(secretA, "msg_1", b.now.Add(5*time.Minute+time.Second), bodyText),
		"ID like a timestamp": SignStandard(secretA, "msg_1.1614265330", b.now, bodyText),
	}
	for name, h := range cases {
		res := b.post(h, bodyText)
		require.Equal(t, http.StatusUnauthorized, res.StatusCode, name)
		require.Equal(t, http.Header{"Content-Length": {"0"}}, res.Header, name)
	}
	require.Empty(t, b.stored())
	require.Equal(t, http.StatusOK, b.post(good(), bodyText).StatusCode)
}

func TestTimestampWindowBothWays(t *testing.T) {
	t.Parallel()
	b := setup(t, Standard(secretA))
	for skew, want := range map[time.Duration]int{
		-5*time.Minute - time.Second: 401, -5 * time.Minute: 200, 0: 200, 5 * time.Minute: 200, 5*time.Minute + time.Second: 401,
	} {
		res := b.post(SignStandard(secretA, "msg_"+skew.String(), b.now.Add(skew), bodyText), bodyText)
		require.Equal(t, want, res.StatusCode, skew.String())
	}
}

func TestReplayedDeliveryIsRefusedOnceItIsOld(t *testing.T) {
	t.Parallel()
	b := setup(t, Standard(secretA))
	h := SignStandard(secretA, "msg_1", b.now, bodyText)
	require.Equal(t, http.StatusOK, b.post(h, bodyText).StatusCode)
	b.now = b.now.Add(time.Hour)
	require.Equal(t, http.StatusUnauthorized, b.post(h, bodyText).StatusCode)
	require.Len(t, b.stored(), 1)
}

func TestRotationAcceptsOldAndNewSecret(t *testing.T) {
	t.Parallel()
	b := setup(t, Standard(secretA, secretB))
	require.Equal(t, http.StatusOK, b.post(SignStandard(secretA, "msg_1", b.now, bodyText), bodyText).StatusCode)
	require.Equal(t, http.StatusOK, b.post(SignStandard(secretB, "msg_2", b.now, bodyText), bodyText).StatusCode)
	only := setup(t, Standard(secretB))
	both := SignStandard(secretA, "msg_3", b.now, bodyText)
	both.Set(standardSignature, "v1a,xxxx "+both.Get(standardSignature)+" "+SignStandard(secretB, "msg_3", b.now, bodyText).Get(standardSignature))
	require.Equal(t, http.StatusOK, only.post(both, bodyText).StatusCode, "a sender that rotates signs with both")
}

func TestOwnTroubleIs503(t *testing.T) {
	t.Parallel()
	b := setup(t, Standard(secretA))
	h := SignStandard(secretA, "msg_1", b.now, bodyText)
	b.store.down = true
	res := b.post(h, bodyText)
	require.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
	require.NotEmpty(t, res.Header.Get("Retry-After"))
	b.store.down = false
	require.Equal(t, http.StatusOK, b.post(h, bodyText).StatusCode, "sent again, it is no duplicate: it was not stored")
	require.Len(t, b.stored(), 1)
	broken := b.send(http.MethodPost, h, io.MultiReader(strings.NewReader("{"), brokenReader{}))
	require.Equal(t, http.StatusServiceUnavailable, broken.StatusCode, "a body that does not arrive whole")
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestStoredThoughTheSenderHungUp(t *testing.T) {
	t.Parallel()
	b := setup(t, Standard(secretA))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	req := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", bytes.NewReader(bodyText))
	req.Header = SignStandard(secretA, "msg_1", b.now, bodyText)
	b.r.ServeHTTP(httptest.NewRecorder(), req)
	require.Len(t, b.stored(), 1)
}

func TestMethodAndSize(t *testing.T) {
	t.Parallel()
	b := setup(t, Standard(secretA))
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		res := b.send(method, SignStandard(secretA, "msg_1", b.now, nil), nil)
		require.Equal(t, http.StatusMethodNotAllowed, res.StatusCode, method)
		require.Equal(t, http.MethodPost, res.Header.Get("Allow"))
	}
	large := bytes.Repeat([]byte("x"), 1001)
	h := SignStandard(secretA, "msg_1", b.now, large)
	require.Equal(t, http.StatusRequestEntityTooLarge, b.post(h, large).StatusCode)
	require.Equal(t, http.StatusRequestEntityTooLarge, b.send(http.MethodPost, h, io.MultiReader(bytes.NewReader(large))).StatusCode, "without a length")
	require.Empty(t, b.stored())
	fits := large[:1000]
	require.Equal(t, http.StatusOK, b.post(SignStandard(secretA, "msg_2", b.now, fits), fits).StatusCode)
}

func TestNothingPrivateInErrorsAndEvents(t *testing.T) {
	t.Parallel()
	b := setup(t, Standard(secretA))
	b.post(SignStandard(secretB, "msg_1", b.now, bodyText), bodyText)
	b.store.down = true
	b.post(SignStandard(secretA, "msg_1", b.now, bodyText), bodyText)
	events := b.heard.of("webhook.delivery")
	require.Len(t, events, 2)
	require.Equal(t, "unverified", events[0].Outcome)
	require.Equal(t, dovetail.Auth, events[0].Class)
	require.Equal(t, "not-stored", events[1].Outcome)
	require.Equal(t, dovetail.Unavailable, events[1].Class)
	for _, e := range events {
		for _, private := range []string{"private", strings.TrimPrefix(secretA, secretPrefix), "v1,"} {
			require.NotContains(t, e.Err.Error()+e.Why, private)
		}
	}
}

func TestNewReceiverNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := NewReceiver(Config{MaxBytes: -1})
	require.Error(t, err)
	for _, where := range []string{"Config.Source", "Config.Verifier", "Config.Queue", "Config.Destination", "Config.MaxBytes"} {
		require.Contains(t, err.Error(), where)
	}
	b := setup(t, Standard(secretA))
	for name, v := range map[string]Verifier{
		"no secret": Standard(), "empty": GitHub(""), "one of two empty": Stripe("whsec_0123456789abcdef", ""), "short": Shopify("123456789012345"),
		"not base64": Standard("whsec_***"), "short once decoded": Standard("whsec_MTIzNDU2Nzg5MDEyMzQ1"), "no header": HMAC(HMACConfig{}, "0123456789abcdef"),
	} {
		_, err := NewReceiver(Config{Source: "s", Verifier: v, Queue: b.queue, Destination: "orders"})
		var faults *dovetail.Faults
		require.ErrorAs(t, err, &faults, name)
		_, err = v.Verify(http.Header{}, nil, time.Now())
		require.ErrorIs(t, err, ErrUnverified, "%s: it fails closed", name)
	}
}

func TestDedupKeyIsInjective(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	long := strings.Repeat("x", 600)
	for _, pair := range [][2]string{{"a", "b:c"}, {"a:b", "c"}, {"", "a"}, {"a", ""}, {"1", "2:3"}, {"1:2", "3"}, {"s", long}, {"s", long + "x"}, {"s" + long, ""}, {"s", "\x00"}, {"s", "\xff"}} {
		k := dedupKey(pair[0], pair[1])
		require.Empty(t, seen[k], "%q", pair)
		require.LessOrEqual(t, len(k), 1024)
		seen[k] = pair[0] + "|" + pair[1]
	}
}
