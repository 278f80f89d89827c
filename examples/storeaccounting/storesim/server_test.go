package storesim_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/examples/storeaccounting/orders"
	"github.com/tectari/dovetail/examples/storeaccounting/storesim"
	"github.com/tectari/dovetail/examples/storeaccounting/story"
)

var key = []byte("a secret of the test")

// bench is a store with a clock that the test moves by hand.
type bench struct {
	*storesim.Server
	t     *testing.T
	clock *story.Clock
	api   http.Handler
}

func setup(t *testing.T) *bench {
	clock := story.NewClock(time.Minute, story.DefaultSpeed)
	s, err := storesim.Open(context.Background(), storesim.Config{
		Path: filepath.Join(t.TempDir(), "s.db"), Clock: clock, Seed: 1, Secret: "whsec_" + base64.StdEncoding.EncodeToString(key),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return &bench{Server: s, t: t, clock: clock, api: s.Handler()}
}

// place has n customers place an order each.
func (b *bench) place(n int) {
	b.t.Helper()
	var actions []story.Action
	for i := range n {
		actions = append(actions, story.Action{Seq: int64(i + 1), Place: &orders.Order{
			ID: fmt.Sprintf("O-%03d", i), CustomerID: fmt.Sprintf("C-%03d", i), CustomerName: "Ann Lee", PlacedOn: "2016-01-02", Address: "Boston",
			Lines: []orders.Line{{RowID: "1", ProductID: "P", Product: "Pen", Quantity: 1, Amount: 10_005_000}},
		}})
	}
	_, err := b.Apply(context.Background(), actions)
	require.NoError(b.t, err)
}

func (b *bench) call(method, target, body string, header ...string) (status int, answer map[string]any) {
	b.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	defer func() {
		if cut := recover(); cut != nil {
			require.Equal(b.t, http.ErrAbortHandler, cut)
			status, answer = 0, nil
		}
	}()
	b.api.ServeHTTP(w, r)
	require.NoError(b.t, json.Unmarshal(w.Body.Bytes(), &answer))
	return w.Code, answer
}

func TestPatch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.place(1)
	status, c := b.call("PATCH", "/customers/C-000", `{"name": " Ann  Lee ", "tax_number": "X", "phone": null}`, "If-Match", `"1"`)
	require.Equal(t, 200, status)
	for field, want := range map[string]any{"name": " Ann  Lee ", "tax_number": "X", "phone": "", "version": 2.0, "updated_by": "api"} {
		require.Equal(t, want, c[field], field)
	}
	status, _ = b.call("PATCH", "/customers/C-000", `{"name": "B"}`, "If-Match", `"1"`)
	require.Equal(t, 412, status)
	status, c = b.call("PATCH", "/customers/C-000", `{"tax_number": "X"}`)
	require.Equal(t, 200, status)
	require.Equal(t, 2.0, c["version"], "nothing changed")
	status, _ = b.call("PATCH", "/customers/C-000", `{"id": "C-1"}`)
	require.Equal(t, 422, status)
	status, _ = b.call("PATCH", "/customers/C-999", `{"name": "B"}`)
	require.Equal(t, 404, status)
	_, o := b.call("GET", "/orders/O-000", "")
	require.Equal(t, "10.01", o["total"])
}

func TestFeedHasEachChangedRecordOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.place(3)
	_, page := b.call("GET", "/customers/changes", "")
	require.Len(t, page["records"], 3)
	b.call("PATCH", "/customers/C-001", `{"phone": "1"}`)
	b.call("PATCH", "/customers/C-001", `{"phone": "2"}`)
	_, page = b.call("GET", "/customers/changes?since="+page["next"].(string), "")
	require.Len(t, page["records"], 1)
	require.Equal(t, "2", page["records"].([]any)[0].(map[string]any)["phone"])
	_, empty := b.call("GET", "/customers/changes?since="+page["next"].(string), "")
	require.Empty(t, empty["records"])
	require.Equal(t, page["next"], empty["next"], "next can always be used again")
}

func TestRepliesAreLostAfterTheWrite(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.place(300)
	lost := 0
	for i := range 300 {
		target := fmt.Sprintf("/customers/C-%03d", i)
		if status, _ := b.call("PATCH", target, `{"balance": "1.00"}`); status != 0 {
			continue
		}
		lost++
		_, c := b.call("GET", target, "")
		require.Equal(t, "1.00", c["balance"], "the write was done")
		status, _ := b.call("PATCH", target, `{"balance": "1.00"}`)
		require.Equal(t, 200, status, "the same call gets through the second time")
	}
	require.Positive(t, lost)
	require.Less(t, lost, 15)
}

// receiver collects webhooks and checks their signature.
type receiver struct {
	mu     sync.Mutex
	events []string // as they came
	ids    map[string]string
	bad    int
	refuse int // how many calls to answer 500 first
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, _ := io.ReadAll(q.Body)
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", q.Header.Get("webhook-id"), q.Header.Get("webhook-timestamp"), body)
	r.mu.Lock()
	defer r.mu.Unlock()
	if q.Header.Get("webhook-signature") != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
		r.bad++
	}
	if r.refuse > 0 {
		r.refuse--
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	r.events = append(r.events, string(body))
	r.ids[q.Header.Get("webhook-id")] = string(body)
}

func TestWebhooksComeTwiceLateOrNotAtAll(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const customers = 150
	b.place(customers)
	var late int
	const query = `SELECT count(*) FROM deliveries WHERE again = 0 AND due > ?`
	require.NoError(t, b.QueryRow(query, b.clock.Millis()+2000).Scan(&late))
	require.InDelta(t, 45, late, 25, "about one event in seven is late")

	r := &receiver{ids: make(map[string]string), refuse: 5}
	target := httptest.NewServer(r)
	defer target.Close()
	ctx, stop := context.WithCancel(context.Background())
	delivered := make(chan error, 1)
	go func() { delivered <- b.Deliver(ctx, target.URL) }()
	for moved := 0; ; moved++ { // the clock moves a second at a time, with time to deliver
		b.clock.Set(b.clock.Now() + time.Second)
		owed, err := b.Undelivered(ctx)
		require.NoError(t, err)
		if owed == 0 {
			break
		}
		require.Less(t, moved, 1000)
		time.Sleep(2 * time.Millisecond)
	}
	stop()
	require.NoError(t, <-delivered)

	require.Zero(t, r.bad, "every signature holds")
	lost := int(b.Counters()[storesim.WebhooksLost])
	require.Positive(t, lost)
	require.Less(t, lost, 20, "about one in fifty")
	require.Len(t, r.ids, 2*customers-lost)
	require.Len(t, r.events, 2*len(r.ids), "each one twice, refused ones tried again")
	require.False(t, slices.IsSorted(r.events[:customers]), "so the order is not that of the changes")
	require.Equal(t, int64(5), b.Counters()[storesim.WebhooksRetried])
	require.Equal(t, int64(len(r.ids)), b.Counters()[storesim.WebhooksTwice])
}

func TestApplyTwiceIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.place(1)
	edit := []story.Action{{Seq: 9, Edit: &story.Edit{Person: "Mary", Customer: "C-000", Field: "name", Value: "Ann  B"}}}
	_, err := b.Apply(context.Background(), edit)
	require.NoError(t, err)
	_, err = b.Apply(context.Background(), edit)
	require.Error(t, err)
	_, c := b.call("GET", "/customers/C-000", "")
	require.Equal(t, 2.0, c["version"])
	edits, err := b.Edits(context.Background())
	require.NoError(t, err)
	require.Len(t, edits, 5, "four values typed at sign-up, and the edit")
	require.Equal(t, "Ann Lee", edits[4].Was)
}

func TestSecretIsChecked(t *testing.T) {
	t.Parallel()
	_, err := storesim.Open(context.Background(), storesim.Config{Path: filepath.Join(t.TempDir(), "s.db"), Secret: "secret"})
	require.ErrorContains(t, err, "whsec_")
	require.NotContains(t, err.Error(), `"secret"`)
}
