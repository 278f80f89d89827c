package server_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/examples/storeaccounting/server"
)

func TestCountersSurvive(t *testing.T) {
	t.Parallel()
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "a.db")
	db, err := server.OpenDatabase(ctx, path, "")
	require.NoError(t, err)
	db.Count("calls", 2)
	db.Count("calls", 3)
	require.NoError(t, db.Flush(ctx))
	require.NoError(t, db.SetMeta(ctx, "clock", "7"))
	require.NoError(t, db.Close())

	db, err = server.OpenDatabase(ctx, path, "")
	require.NoError(t, err)
	defer db.Close()
	require.Equal(t, int64(5), db.Counters()["calls"])
	clock, err := db.Meta(ctx, "clock")
	require.NoError(t, err)
	require.Equal(t, "7", clock)
}

func TestMarkerGoesWithItsEffect(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db, err := server.OpenDatabase(ctx, filepath.Join(t.TempDir(), "a.db"), "")
	require.NoError(t, err)
	defer db.Close()
	broken := errors.New("the effect failed")
	err = db.Tx(ctx, func(tx *sql.Tx) error {
		return errors.Join(server.MarkDone(ctx, tx, 1), broken)
	})
	require.ErrorIs(t, err, broken)
	done, err := db.Done(ctx)
	require.NoError(t, err)
	require.Empty(t, done)
	require.NoError(t, db.Tx(ctx, func(tx *sql.Tx) error { return server.MarkDone(ctx, tx, 1) }))
	require.Error(t, db.Tx(ctx, func(tx *sql.Tx) error { return server.MarkDone(ctx, tx, 1) }), "an action is marked once")
}

func TestListenerGoesDownAndComesBack(t *testing.T) {
	t.Parallel()
	l, err := server.Listen(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { server.WriteJSON(w, 200, "here") }))
	require.NoError(t, err)
	get := func() error {
		response, err := http.Get(l.URL())
		if err == nil {
			err = response.Body.Close()
		}
		return err
	}
	require.NoError(t, get())
	require.NoError(t, l.Down())
	require.NoError(t, l.Down(), "down is down")
	require.ErrorContains(t, get(), "refused")
	require.NoError(t, l.Up())
	require.NoError(t, l.Up(), "up is up")
	require.NoError(t, get(), "the same address answers again")
	require.NoError(t, l.Down())
}

func TestParseFields(t *testing.T) {
	t.Parallel()
	fields, err := server.ParseFields([]byte(`{"name": "Ann", "phone": null}`), "name", "phone")
	require.NoError(t, err)
	require.Equal(t, map[string]string{"name": "Ann", "phone": ""}, fields)
	for body, status := range map[string]int{`{"name": 1}`: 400, `[]`: 400, `null`: 400, ``: 400, `{"age": "1"}`: 422} {
		_, err := server.ParseFields([]byte(body), "name")
		problem, ok := errors.AsType[server.Problem](err)
		require.True(t, ok, body)
		require.Equal(t, status, problem.Status, body)
	}
}

func TestCursors(t *testing.T) {
	t.Parallel()
	for query, ok := range map[string]bool{"": true, "?limit=5": true, "?since=" + server.Cursor("12"): true, "?limit=0": false, "?limit=x": false, "?since=!": false, "?since=" + server.Cursor("x"): false} {
		_, _, err := server.SinceOf(httptest.NewRequest(http.MethodGet, "/"+query, nil))
		require.Equal(t, ok, err == nil, query)
	}
	_, limit, err := server.SinceOf(httptest.NewRequest(http.MethodGet, "/?limit=9999", nil))
	require.NoError(t, err)
	require.Equal(t, 500, limit)
}

func TestChanceIsFairAndFixed(t *testing.T) {
	t.Parallel()
	hits := 0
	for i := range 20_000 {
		n := server.Chance(1, "lost", "order "+strconv.Itoa(i))
		require.Equal(t, n, server.Chance(1, "lost", "order "+strconv.Itoa(i)))
		if n < 100 {
			hits++
		}
	}
	require.InDelta(t, 200, hits, 60, "one in a hundred")
}

func ExampleChance() {
	first := server.Chance(1, "lost", "order 7")
	fmt.Println(server.Chance(1, "lost", "order 7") == first)
	// Output: true
}
