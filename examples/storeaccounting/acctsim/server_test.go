package acctsim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/examples/storeaccounting/acctsim"
	"github.com/tectari/dovetail/examples/storeaccounting/story"
)

// bench is a server with a clock that the test moves by hand.
type bench struct {
	*acctsim.Server
	t     *testing.T
	clock *story.Clock
	api   http.Handler
}

func setup(t *testing.T, tame bool) *bench {
	clock := story.NewClock(time.Minute, story.DefaultSpeed)
	s, err := acctsim.Open(context.Background(), acctsim.Config{Path: filepath.Join(t.TempDir(), "a.db"), Clock: clock, Seed: 1, Tame: tame})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return &bench{Server: s, t: t, clock: clock, api: s.Handler()}
}

func (b *bench) pass(d time.Duration) { b.clock.Set(b.clock.Now() + d) }

// call returns the status and the answer. A cut connection is status 0.
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

func (b *bench) records(target string) []any {
	b.t.Helper()
	status, answer := b.call("GET", target, "")
	require.Equal(b.t, 200, status)
	return answer["records"].([]any)
}

const ann = `{"reference": "C-1", "name": " Ann   Lee ", "email": " Ann@Example.COM", "phone": "+1  555", "tax_number": "us 12-3", "balance": "1.005"}`

func TestContactIsNormalised(t *testing.T) {
	t.Parallel()
	b := setup(t, true)
	status, c := b.call("POST", "/contacts", ann)
	require.Equal(t, 201, status)
	for field, want := range map[string]any{"id": "con-000001", "name": "Ann Lee", "email": "ann@example.com", "phone": "+1 555",
		"tax_number": "US12-3", "balance": "1.01", "payment_terms": "NET30", "version": 1.0, "updated_by": "api"} {
		require.Equal(t, want, c[field], field)
	}
	status, c = b.call("PATCH", "/contacts/con-000001", `{"balance": "-0.004", "name": "Ann"}`, "If-Match", `"1"`)
	require.Equal(t, 200, status)
	require.Equal(t, "0.00", c["balance"])
	require.Equal(t, 2.0, c["version"])

	status, c = b.call("PATCH", "/contacts/con-000001", `{"name": "  Ann "}`)
	require.Equal(t, 200, status)
	require.Equal(t, 2.0, c["version"], "nothing changed once normalised")
}

func TestContactProblems(t *testing.T) {
	t.Parallel()
	b := setup(t, true)
	b.call("POST", "/contacts", ann)
	for _, tc := range []struct {
		method, target, body, match string
		status                      int
	}{
		{"POST", "/contacts", `{"name": "x", "balance": "1e9"}`, "", 422},
		{"POST", "/contacts", `{"name": "x", "balance": "1/3"}`, "", 422},
		{"POST", "/contacts", `{"email": "x"}`, "", 422},
		{"POST", "/contacts", `{"name": "x", "id": "7"}`, "", 422},
		{"POST", "/contacts", `nonsense`, "", 400},
		{"PATCH", "/contacts/con-000001", `{"name": "x"}`, `"9"`, 412},
		{"PATCH", "/contacts/con-000009", `{"name": "x"}`, "", 404},
		{"GET", "/contacts/inv-000001", "", "", 404},
		{"GET", "/contacts?cursor=!", "", "", 400},
		{"POST", "/invoices", `{"number": "O-1", "contact_id": "con-000009", "date": "2018-01-01", "total": "1"}`, "", 422},
		{"POST", "/invoices", `{"number": "O-1", "contact_id": "con-000001", "date": "today", "total": "1"}`, "", 422},
		{"POST", "/invoices", `{"number": "O-1", "contact_id": "con-000001", "date": "2018-01-01", "total": "one"}`, "", 422},
	} {
		status, problem := b.call(tc.method, tc.target, tc.body, "If-Match", tc.match)
		require.Equal(t, tc.status, status, "%s %s %s", tc.method, tc.target, tc.body)
		require.NotEmpty(t, problem["code"])
	}
	require.Empty(t, b.records("/invoices"))
}

func TestSearchLags(t *testing.T) {
	t.Parallel()
	b := setup(t, true)
	b.call("POST", "/contacts", ann)
	b.pass(acctsim.IndexLag - time.Millisecond)
	require.Empty(t, b.records("/contacts?reference=C-1"), "not indexed yet")
	require.Empty(t, b.records("/contacts?email=ann@example.com"))
	require.Len(t, b.records("/contacts"), 1, "the list is strong")
	require.Len(t, b.records("/contacts/changes"), 1, "the change feed is strong")
	b.pass(time.Millisecond)
	require.Len(t, b.records("/contacts?reference=C-1"), 1)
	require.Len(t, b.records("/contacts?email=ANN@example.com"), 1)

	b.call("PATCH", "/contacts/con-000001", `{"email": "new@example.com"}`)
	require.Len(t, b.records("/contacts?email=ann@example.com"), 1, "the index still knows the old address")
	require.Empty(t, b.records("/contacts?email=new@example.com"))
	b.pass(acctsim.IndexLag)
	require.Empty(t, b.records("/contacts?email=ann@example.com"))
	require.Len(t, b.records("/contacts?email=new@example.com"), 1)
}

func TestReferencesAndNumbersMayRepeat(t *testing.T) {
	t.Parallel()
	b := setup(t, true)
	b.call("POST", "/contacts", ann)
	b.call("POST", "/contacts", ann)
	b.call("POST", "/invoices", invoice)
	b.call("POST", "/invoices", invoice)
	b.pass(acctsim.IndexLag)
	require.Len(t, b.records("/contacts?reference=C-1"), 2)
	require.Len(t, b.records("/invoices?number=O-1"), 2)
}

const invoice = `{"number": "O-1", "contact_id": "con-000001", "date": "2018-01-01", "total": "957.575"}`

func TestIdempotencyKeyIsHonouredForAWhile(t *testing.T) {
	t.Parallel()
	b := setup(t, true)
	b.call("POST", "/contacts", ann)
	status, first := b.call("POST", "/invoices", invoice, "Idempotency-Key", "k")
	require.Equal(t, 201, status)
	require.Equal(t, "957.58", first["total"])

	b.pass(acctsim.KeyWindow - time.Millisecond)
	status, again := b.call("POST", "/invoices", invoice, "Idempotency-Key", "k")
	require.Equal(t, 201, status)
	require.Equal(t, first["id"], again["id"])
	status, problem := b.call("POST", "/invoices", strings.Replace(invoice, "O-1", "O-2", 1), "Idempotency-Key", "k")
	require.Equal(t, 422, status)
	require.Equal(t, "key_reused", problem["code"])

	b.pass(time.Millisecond)
	_, late := b.call("POST", "/invoices", invoice, "Idempotency-Key", "k")
	require.NotEqual(t, first["id"], late["id"], "the key is forgotten: a second invoice")
	require.Less(t, acctsim.KeyWindow, story.OutageTo-story.OutageFrom, "the key does not outlive the outage")
}

func TestQuota(t *testing.T) {
	t.Parallel()
	b := setup(t, true)
	for i := range acctsim.Calls {
		status, _ := b.call("GET", "/contacts", "")
		require.Equal(t, 200, status, "call %d", i)
		b.pass(10 * time.Millisecond)
	}
	r := httptest.NewRecorder()
	b.api.ServeHTTP(r, httptest.NewRequest(http.MethodGet, "/contacts", nil))
	require.Equal(t, 429, r.Code)
	require.Equal(t, "1", r.Header().Get("Retry-After"), "in whole wall seconds")

	b.clock.Set(time.Minute + acctsim.Window)
	status, _ := b.call("GET", "/contacts", "")
	require.Equal(t, 429, status, "one call is a minute ago, but the rejected one counts too")
	b.pass(20 * time.Millisecond)
	status, _ = b.call("GET", "/contacts", "")
	require.Equal(t, 200, status, "two more are")
	for range 10 {
		status, _ = b.call("GET", "/export/contacts", "")
		require.Equal(t, 200, status, "export has no limit")
	}
	require.Equal(t, int64(2), b.Counters()[acctsim.TooMany])
}

func TestRejectedCallsCount(t *testing.T) {
	t.Parallel()
	b := setup(t, true)
	for range 2 * acctsim.Calls {
		b.call("GET", "/contacts", "")
		b.pass(acctsim.Window / acctsim.Calls * 9 / 10) // a tenth too fast
	}
	require.Greater(t, b.Counters()[acctsim.TooMany], int64(acctsim.Calls/2), "who does not slow down stays rejected")
}

func TestFiveAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, true)
	conn, err := b.Conn(context.Background()) // holds up every call that reaches the database
	require.NoError(t, err)
	var calls sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	for range acctsim.AtOnce + 3 {
		calls.Go(func() {
			w := httptest.NewRecorder()
			b.api.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/contacts/con-000001", nil))
			mu.Lock()
			defer mu.Unlock()
			statuses[w.Code]++
		})
	}
	require.Eventually(t, func() bool { return b.Counters()[acctsim.TooMany] == 3 }, 5*time.Second, time.Millisecond)
	require.NoError(t, conn.Close())
	calls.Wait()
	require.Equal(t, map[int]int{404: acctsim.AtOnce, 429: 3}, statuses)
}

func TestOutage(t *testing.T) {
	t.Parallel()
	b := setup(t, true)
	b.call("POST", "/contacts", ann)
	b.clock.Set(story.OutageFrom)
	status, _ := b.call("GET", "/contacts", "")
	require.Equal(t, 503, status)
	done, err := b.Apply(context.Background(), []story.Action{{Seq: 1, Edit: &story.Edit{Person: "Ines", Customer: "C-1", Field: "balance", Value: "2.5"}}})
	require.NoError(t, err)
	require.Equal(t, []int64{1}, done, "its people go on working")
	b.clock.Set(story.OutageTo)
	_, c := b.call("GET", "/contacts/con-000001", "")
	require.Equal(t, "2.50", c["balance"])
	require.Equal(t, "Ines", c["updated_by"])
}

func TestEditsWaitForTheContactAndHappenOnce(t *testing.T) {
	t.Parallel()
	ctx, b := context.Background(), setup(t, true)
	edits := []story.Action{{Seq: 7, Edit: &story.Edit{Person: "Ines", Customer: "C-1", Field: "tax_number", Value: "us 9-9"}}}
	done, err := b.Apply(ctx, edits)
	require.NoError(t, err)
	require.Empty(t, done)
	b.call("POST", "/contacts", ann)
	done, err = b.Apply(ctx, edits)
	require.NoError(t, err)
	require.Equal(t, []int64{7}, done)
	_, err = b.Apply(ctx, edits)
	require.Error(t, err, "the marker refuses a second time")
	marked, err := b.Done(ctx)
	require.NoError(t, err)
	require.Equal(t, map[int64]bool{7: true}, marked, "and keeps it from being tried after a restart")
	list, err := b.Edits(ctx)
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, "US12-3", list[0].Was)
	require.Equal(t, "US9-9", list[0].Value)
}

func TestFaultsAreFixedAndStrikeOnce(t *testing.T) {
	t.Parallel()
	fates := func() (lost []int, broken int) {
		b := setup(t, false)
		b.call("POST", "/contacts", strings.Replace(ann, "C-1", "C-0", 1))
		for i := range 600 {
			b.pass(time.Second)
			body := fmt.Sprintf(`{"number": "O-%d", "contact_id": "con-000001", "date": "2018-01-01", "total": "1"}`, i)
			status, _ := b.call("POST", "/invoices", body)
			switch status {
			case 0:
				lost = append(lost, i)
			case 500:
				broken++
			default:
				continue
			}
			status, _ = b.call("POST", "/invoices", body)
			require.Equal(t, 201, status, "the same call gets through the second time")
		}
		require.Equal(t, int64(len(lost)), b.Counters()[acctsim.RepliesLost])
		require.Len(t, b.records("/export/invoices"), 600+len(lost)+broken, "the faulted ones were done")
		return lost, broken
	}
	lost, broken := fates()
	require.NotEmpty(t, lost)
	require.Less(t, len(lost), 20, "about one in a hundred")
	again, brokenAgain := fates()
	require.Equal(t, lost, again, "the same calls in every run")
	require.Equal(t, broken, brokenAgain)
}

func TestListAndFeedPages(t *testing.T) {
	t.Parallel()
	b := setup(t, true)
	for i := range 5 {
		b.call("POST", "/contacts", fmt.Sprintf(`{"name": "N", "reference": "C-%d"}`, i))
	}
	b.call("PATCH", "/contacts/con-000002", `{"name": "M"}`)
	var listed, fed []string
	collect := func(target, parameter string, into *[]string) {
		cursor := ""
		for {
			_, page := b.call("GET", target+"?limit=2&"+parameter+"="+cursor, "")
			for _, r := range page["records"].([]any) {
				*into = append(*into, r.(map[string]any)["id"].(string))
			}
			cursor = page["next"].(string)
			if page["more"] == false {
				return
			}
		}
	}
	collect("/contacts", "cursor", &listed)
	collect("/contacts/changes", "since", &fed)
	require.Equal(t, []string{"con-000001", "con-000002", "con-000003", "con-000004", "con-000005"}, listed)
	require.Equal(t, []string{"con-000001", "con-000003", "con-000004", "con-000005", "con-000002"}, fed, "each once, the changed one last")
}
