package idempotency_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/tectari/dovetail/idempotency"
	"github.com/tectari/dovetail/store/memstore"
)

// A client that got no answer sends its order again. It is made once, and the second
// request is answered as the first was.
func ExampleMiddleware() {
	once, err := idempotency.Middleware(idempotency.HTTPConfig{
		Store: memstore.New(), // sqlstore.New(db, sqlstore.Postgres) where it counts
		Scope: func(r *http.Request) (string, error) {
			if account, _, ok := r.BasicAuth(); ok { // checked before
				return account, nil
			}
			return "", errors.New("nobody is logged in")
		},
		OnDoubt: idempotency.Park,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	orders := 0
	handler := once(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		orders++
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, "order %d", orders)
	}))

	send := func(key, body string) {
		r := httptest.NewRequest(http.MethodPost, "/orders", strings.NewReader(body))
		r.SetBasicAuth("acme", "secret")
		r.Header.Set("Idempotency-Key", key)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Header().Get("Idempotent-Replayed"), w.Body)
	}
	send("c6a1", "two books")
	send("c6a1", "two books")
	send("c6a1", "three books")
	// Output:
	// 201  order 1
	// 201 true order 1
	// 422  {"title":"This key was used for another request","status":422,"detail":"Send a new request with a new key, and the same request with the same key only."}
}
