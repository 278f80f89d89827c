// Package alerttest runs the alert part against real databases.
package alerttest

import (
	"context"
	"database/sql"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/internal/integration/servers"
	"github.com/tectari/dovetail/store/sqlstore"
	_ "modernc.org/sqlite"
)

func open(t *testing.T) *sqlstore.Store {
	t.Helper()
	dsn := "file:" + filepath.Join(t.TempDir(), "alert.db") + "?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)&_txlock=immediate"
	db, err := sql.Open("sqlite", dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	s := sqlstore.New(db, sqlstore.SQLite)
	require.NoError(t, s.Migrate(t.Context()))
	return s
}

func TestAlertStoreOnSQLite(t *testing.T) {
	t.Parallel()
	dovetailtest.RunAlertStore(t, func(t *testing.T) alert.Store { return open(t) })
}

// TestThreeProcessesAndACrashTellTwice is an outage as three processes with one
// database see it: they tell of it once, and of its end once, though the one that
// told first is gone by then.
func TestThreeProcessesAndACrashTellTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := open(t)
		var mu sync.Mutex
		var got []alert.Notification
		pager := alert.SinkFunc("pager", func(_ context.Context, n alert.Notification) error {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, n)
			return nil
		})
		down := alert.Problem{Rule: alert.Down, System: "billing"}
		var managers []*alert.Manager
		var stops []func()
		for range 3 {
			m, err := alert.New(alert.Config{Store: store, Routes: []alert.Route{{To: []alert.Sink{pager}, Wait: -1}}, Settle: -1})
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- m.Run(ctx) }()
			stop := sync.OnceFunc(func() {
				cancel()
				require.NoError(t, <-done)
			})
			defer stop()
			managers, stops = append(managers, m), append(stops, stop)
		}
		for i := range 300 {
			require.NoError(t, managers[i%3].Report(t.Context(), down))
		}
		time.Sleep(10 * time.Second)
		stops[0]()
		stops[1]()
		require.NoError(t, managers[2].Clear(t.Context(), down, ""))
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		require.Len(t, got, 2)
		require.Equal(t, alert.Firing, got[0].State)
		require.Equal(t, alert.Resolved, got[1].State)
		require.EqualValues(t, 300, got[1].Count)
	})
}

func TestAlertStoreOnPostgres(t *testing.T) {
	t.Parallel()
	dovetailtest.RunAlertStore(t, func(t *testing.T) alert.Store {
		s := sqlstore.New(servers.OpenPostgres(t, servers.Postgres(t)), sqlstore.Postgres)
		require.NoError(t, s.Migrate(t.Context()))
		return s
	})
}
