package ledgertest

import (
	"context"
	"database/sql"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/idempotency"
	"github.com/tectari/dovetail/internal/oncetest"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/sqlstore"
)

// TestMiddlewareUnderChi is an order endpoint of a chi router, on every database, to
// which eight clients send the same twenty requests at once, twice: the handler's
// own row and the answer commit together.
func TestMiddlewareUnderChi(t *testing.T) {
	t.Parallel()
	for name, open := range stores {
		if name == "Memory" {
			continue // the handler has no table there
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, ok := open(t).(*sqlstore.Store)
			require.True(t, ok)
			_, err := store.DB().ExecContext(t.Context(), `CREATE TABLE made (item VARCHAR(100) NOT NULL)`)
			require.NoError(t, err)
			once, err := idempotency.Middleware(idempotency.HTTPConfig{
				Store: store, OnDoubt: idempotency.MayRepeat, Observer: oncetest.Quiet{},
				Scope: func(r *http.Request) (string, error) { return "acme" + r.Header.Get("Tenant"), nil },
			})
			require.NoError(t, err)
			router := chi.NewRouter()
			router.With(once).Post("/orders/{item}", func(w http.ResponseWriter, r *http.Request) {
				reply := idempotency.Reply{Status: http.StatusCreated, Body: []byte("made " + chi.URLParam(r, "item"))}
				err := store.Transact(r.Context(), func(ctx context.Context, tx outbox.Tx) error {
					x, _ := tx.(*sql.Tx) // it is one; else this panics
					if _, err := x.ExecContext(ctx, "INSERT INTO made (item) VALUES ('"+chi.URLParam(r, "item")+"')"); err != nil {
						return err
					}
					return idempotency.CompleteRequest(ctx, tx, reply)
				})
				if err != nil {
					http.Error(w, err.Error(), http.StatusInternalServerError)
					return
				}
				w.WriteHeader(reply.Status)
				_, _ = w.Write(reply.Body)
			})
			server := httptest.NewServer(router)
			defer server.Close()
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					for n := range 40 {
						item := string(rune('a' + n%20))
						for send(t, server.URL+"/orders/"+item, item) == http.StatusConflict { // under way
						}
					}
				})
			}
			wg.Wait()
			var rows, different int
			require.NoError(t, store.DB().QueryRowContext(t.Context(), `SELECT count(*), count(DISTINCT item) FROM made`).Scan(&rows, &different))
			require.Equal(t, 20, different)
			require.Equal(t, 20, rows, "each order is made once")
		})
	}
}

func send(t *testing.T, url, key string) int {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(key))
	if err != nil {
		t.Error(err)
		return 0
	}
	req.Header.Set("Idempotency-Key", key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || (resp.StatusCode != http.StatusConflict && (resp.StatusCode != http.StatusCreated || string(body) != "made "+key)) {
		t.Errorf("%s: %d %s %v", key, resp.StatusCode, body, err)
	}
	return resp.StatusCode
}
