package webhook

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/sqlstore"
	"github.com/tectari/dovetail/webhook"
)

// intake is a receiver over a database: 2 kB deliveries of Standard Webhooks.
func intake(t testing.TB, db *sql.DB, d sqlstore.Dialect) *webhook.Receiver {
	store := sqlstore.New(db, d)
	require.NoError(t, store.Migrate(context.Background()))
	alerts, err := alert.New(alert.Config{AllowSilence: true})
	require.NoError(t, err)
	queue, err := outbox.New(outbox.Config{Store: store, Alerts: alerts, Destinations: []outbox.Destination{{Name: "shop"}}})
	require.NoError(t, err)
	r, err := webhook.NewReceiver(webhook.Config{Source: "shop", Verifier: webhook.Standard(standardSecret), Queue: queue, Destination: "shop"})
	require.NoError(t, err)
	return r
}

func openSQLite(t testing.TB) *sql.DB {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "intake.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)&_txlock=immediate")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// openPostgres opens a schema of its own where DOVETAIL_POSTGRES_URL, or the standard
// port, has a server.
func openPostgres(t testing.TB) *sql.DB {
	url := os.Getenv("DOVETAIL_POSTGRES_URL")
	if url == "" {
		url = "postgres://postgres@127.0.0.1:5432/test?sslmode=disable"
	}
	schema := "intake_" + strings.ToLower(rand.Text()[:10])
	admin, err := sql.Open("pgx", url)
	require.NoError(t, err)
	_, err = admin.ExecContext(context.Background(), "CREATE SCHEMA "+schema)
	require.NoError(t, err, "a Postgres server is needed: set DOVETAIL_POSTGRES_URL")
	db, err := sql.Open("pgx", url+"&search_path="+schema)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, db.Close())
		_, err := admin.ExecContext(context.Background(), "DROP SCHEMA "+schema+" CASCADE")
		require.NoError(t, err)
		require.NoError(t, admin.Close())
	})
	return db
}

// BenchmarkIntake takes in deliveries from 64 senders at once, each answered when it is
// durable, and says how many a second and how long the slowest hundredth took:
//
//	cd internal/bench && go test ./webhook -run '^$' -bench Intake -benchtime 100000x -count 5
func BenchmarkIntake(b *testing.B) {
	for name, open := range map[string]func(*testing.B) *webhook.Receiver{
		"SQLite":   func(b *testing.B) *webhook.Receiver { return intake(b, openSQLite(b), sqlstore.SQLite) },
		"Postgres": func(b *testing.B) *webhook.Receiver { return intake(b, openPostgres(b), sqlstore.Postgres) },
	} {
		b.Run(name, func(b *testing.B) {
			r := open(b)
			took := make([]time.Duration, b.N)
			requests := make([]*http.Request, b.N)
			for i := range requests {
				requests[i] = delivery(i)
			}
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for range 64 {
				wg.Go(func() {
					for i := int(next.Add(1)) - 1; i < b.N; i = int(next.Add(1)) - 1 {
						w, began := httptest.NewRecorder(), time.Now()
						r.ServeHTTP(w, requests[i])
						took[i] = time.Since(began)
						if w.Code != http.StatusOK {
							b.Errorf("answered %d", w.Code)
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			slices.Sort(took)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "durable/s")
			b.ReportMetric(float64(took[b.N*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}

// delivery is a signed request of 2 kB.
func delivery(i int) *http.Request {
	body := fmt.Appendf(nil, `{"id":"evt_%d","data":"%s"}`, i, strings.Repeat("x", 2000))
	r := httptest.NewRequest(http.MethodPost, "/hook", bytes.NewReader(body))
	r.Header = webhook.SignStandard(standardSecret, fmt.Sprint("msg_", i), time.Now(), body)
	return r
}

// What the benchmark measures is durable: each delivery once.
func TestIntakeStoresEachOnce(t *testing.T) {
	t.Parallel()
	db := openSQLite(t)
	r := intake(t, db, sqlstore.SQLite)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			w := httptest.NewRecorder()
			r.ServeHTTP(w, delivery(i%100))
			if w.Code != http.StatusOK {
				t.Errorf("answered %d", w.Code)
			}
		})
	}
	wg.Wait()
	var n int
	require.NoError(t, db.QueryRow(`SELECT count(*) FROM dovetail_message`).Scan(&n))
	require.Equal(t, 100, n)
}
