package outboxtest

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/sqlstore"
)

// quiet is an observer that says nothing.
type quiet struct{}

func (quiet) Start(ctx context.Context, _ dovetail.Event) context.Context { return ctx }
func (quiet) Record(context.Context, dovetail.Event)                      {}

func queueOn(t testing.TB, store outbox.Store, destinations ...outbox.Destination) *outbox.Queue {
	t.Helper()
	return queueWith(t, store, 500*time.Millisecond, destinations...)
}

// queueWith makes a queue with a lease that long.
func queueWith(t testing.TB, store outbox.Store, lease time.Duration, destinations ...outbox.Destination) *outbox.Queue {
	t.Helper()
	alerts, err := alert.New(alert.Config{AllowSilence: true})
	require.NoError(t, err)
	q, err := outbox.New(outbox.Config{
		Store: store, Alerts: alerts, Destinations: destinations, Observer: quiet{}, Lease: lease, PollMax: 20 * time.Millisecond,
	})
	require.NoError(t, err)
	return q
}

// run runs the relay of q until the returned function is called.
func run(t testing.TB, q *outbox.Queue) func() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-ended)
	})
}

// A book is what was delivered.
type book struct {
	mu     sync.Mutex
	got    map[string][]string
	n      int
	active map[string]bool
	broken bool
}

func newBook() *book { return &book{got: map[string][]string{}, active: map[string]bool{}} }

func (b *book) begin(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken = b.broken || b.active[key]
	b.active[key] = true
}

func (b *book) end(d outbox.Delivery, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.active, d.Key)
	if err == nil {
		b.got[d.Key] = append(b.got[d.Key], d.ID)
		b.n++
	}
}

func (b *book) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.n
}

func TestLedgerSQLite(t *testing.T)   { ledgerHolds(t, fresh) }
func TestLedgerPostgres(t *testing.T) { ledgerHolds(t, freshPostgres) }
func TestHistoriesMySQL(t *testing.T) { ledgerHolds(t, freshMySQL) }

// ledgerHolds is the property that what was committed is what was delivered, in the
// order of each key, through failures, restarts and rollbacks.
func ledgerHolds(t *testing.T, fresh func(testing.TB) *sqlstore.Store) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := fresh(t)
		b := newBook()
		bad := rapid.IntRange(0, 30).Draw(rt, "percent failing")
		tries := map[string]int{}
		d := outbox.Destination{
			Name: "a", Backoff: outbox.Backoff{Base: time.Millisecond, Cap: 5 * time.Millisecond}, ProbeEvery: 5 * time.Millisecond,
			Attempts: 50, Buffer: rapid.IntRange(4, 64).Draw(rt, "buffer"),
			Handler: outbox.HandlerFunc(func(_ context.Context, d outbox.Delivery) (err error) {
				b.begin(d.Key)
				defer func() { b.end(d, err) }()
				b.mu.Lock()
				tries[d.ID]++
				n := tries[d.ID]
				b.mu.Unlock()
				if n < 4 && (len(d.ID)*7+n*13+int(d.ID[len(d.ID)-1])*31)%100 < bad {
					return dovetail.NewError([]dovetail.Class{dovetail.Transient, dovetail.Unavailable, dovetail.RateLimited}[n-1], "write", "no")
				}
				return nil
			}),
		}
		q := queueWith(t, s, leaseEnough, d)
		stop := run(t, q)
		want, total := map[string][]string{}, 0
		for i := range rapid.IntRange(1, 60).Draw(rt, "messages") {
			key := rapid.SampledFrom([]string{"k", "l", "m"}).Draw(rt, "key")
			id := fmt.Sprintf("%s%d", key, i)
			tx, err := s.DB().BeginTx(t.Context(), nil)
			require.NoError(t, err)
			require.NoError(t, q.Enqueue(t.Context(), tx, outbox.Message{ID: id, To: "a", Key: key}))
			if rapid.IntRange(0, 4).Draw(rt, "fate") == 0 {
				require.NoError(t, tx.Rollback())
				continue
			}
			require.NoError(t, tx.Commit())
			want[key] = append(want[key], id)
			total++
			if rapid.IntRange(0, 29).Draw(rt, "restart") == 0 {
				stop()
				q = queueWith(t, s, leaseEnough, d)
				stop = run(t, q)
			}
		}
		require.Eventually(t, func() bool { return b.count() >= total }, 20*time.Second, time.Millisecond)
		stop()
		require.Equal(t, want, b.got)
		require.False(t, b.broken, "two of a key in flight")
	})
}

func TestDrainsInOrderSQLite(t *testing.T)   { drains(t, fresh(t)) }
func TestDrainsInOrderPostgres(t *testing.T) { drains(t, freshPostgres(t)) }
func TestDrainsInOrderMySQL(t *testing.T)    { drains(t, freshMySQL(t)) }

func drains(t *testing.T, s *sqlstore.Store) {
	b := newBook()
	q := queueOn(t, s, outbox.Destination{Name: "a", Handler: outbox.HandlerFunc(func(_ context.Context, d outbox.Delivery) error {
		b.begin(d.Key)
		b.end(d, nil)
		return nil
	})})
	const total = 30_000
	want := map[string][]string{}
	for i := 0; i < total; i += 500 {
		require.NoError(t, q.Tx(t.Context(), func(ctx context.Context, tx outbox.Tx) error {
			var msgs []outbox.Message
			for j := i; j < i+500; j++ {
				key := fmt.Sprint("key", j%1000)
				want[key] = append(want[key], fmt.Sprint(j))
				msgs = append(msgs, outbox.Message{ID: fmt.Sprint(j), To: "a", Key: key, Payload: make([]byte, 200)})
			}
			return q.Enqueue(ctx, tx, msgs...)
		}))
	}
	began := time.Now()
	stop := run(t, q)
	require.Eventually(t, func() bool { return b.count() >= total }, time.Minute, time.Millisecond)
	rate := float64(total) / time.Since(began).Seconds()
	stop()
	t.Logf("%.0f deliveries/s", rate)
	require.Equal(t, want, b.got)
	require.False(t, b.broken)
	var left int
	require.NoError(t, s.DB().QueryRow("SELECT (SELECT count(*) FROM dovetail_message) + (SELECT count(*) FROM dovetail_parked)").Scan(&left))
	require.Zero(t, left)
}

// killed is the environment variable that makes this test binary the process to
// be killed.
const killed = "DOVETAIL_KILLED"

func TestKilledRelayLosesNothingSQLite(t *testing.T) {
	if path := os.Getenv(killed); path != "" {
		toBeKilled(t, path)
		return
	}
	path := filepath.Join(t.TempDir(), "queue.db")
	s := open(t, path)
	require.NoError(t, s.Migrate(t.Context()))
	_, err := s.DB().Exec("CREATE TABLE got (n INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT, id TEXT)")
	require.NoError(t, err)
	q := queueOn(t, s, outbox.Destination{Name: "a"})
	const total = 400
	want := map[string][]string{}
	for i := range total {
		key := fmt.Sprint("k", i%5)
		want[key] = append(want[key], fmt.Sprint(i))
		require.NoError(t, q.Tx(t.Context(), func(ctx context.Context, tx outbox.Tx) error {
			return q.Enqueue(ctx, tx, outbox.Message{ID: fmt.Sprint(i), To: "a", Key: key})
		}))
	}
	for round := 0; ; round++ {
		require.Less(t, round, 60, "it must come to an end")
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledRelayLosesNothingSQLite$")
		cmd.Env = append(os.Environ(), killed+"="+path)
		require.NoError(t, cmd.Start())
		time.Sleep(time.Duration(600+37*round) * time.Millisecond)
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait() // it was killed
		var left int
		require.NoError(t, s.DB().QueryRow("SELECT (SELECT count(*) FROM dovetail_message) + (SELECT count(*) FROM dovetail_parked)").Scan(&left))
		if left == 0 {
			t.Logf("killed %d times", round+1)
			break
		}
	}
	rows, err := s.DB().Query("SELECT key, id FROM got ORDER BY n")
	require.NoError(t, err)
	defer rows.Close()
	got, seen := map[string][]string{}, map[string]bool{}
	for rows.Next() {
		var key, id string
		require.NoError(t, rows.Scan(&key, &id))
		if !seen[id] {
			seen[id] = true
			got[key] = append(got[key], id)
		}
	}
	require.NoError(t, rows.Err())
	require.Equal(t, want, got, "everything, in the order of each key")
}

// toBeKilled delivers into a table until it is killed.
func toBeKilled(t *testing.T, path string) {
	s := open(t, path)
	run(t, queueOn(t, s, outbox.Destination{Name: "a", Concurrency: 3, Handler: outbox.HandlerFunc(func(ctx context.Context, d outbox.Delivery) error {
		time.Sleep(2 * time.Millisecond)
		_, err := s.DB().ExecContext(ctx, "INSERT INTO got (key, id) VALUES (?, ?)", d.Key, d.ID)
		return err
	})}))
	time.Sleep(time.Minute)
}

func TestVerifyNamesWhatVoidsAPromise(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "bad.db")+"?_pragma=journal_mode(DELETE)&_pragma=synchronous(NORMAL)&_pragma=busy_timeout(0)")
	require.NoError(t, err)
	defer db.Close()
	s := sqlstore.New(db, sqlstore.SQLite)
	require.ErrorIs(t, s.Verify(t.Context()), sqlstore.ErrSchema)
	require.NoError(t, s.Migrate(t.Context()))
	require.NoError(t, s.Migrate(t.Context()), "a second time it does nothing")
	err = s.Verify(t.Context())
	require.ErrorIs(t, err, sqlstore.ErrSettings)
	for _, name := range []string{"journal_mode", "synchronous", "busy_timeout"} {
		require.ErrorContains(t, err, name)
	}
	require.ErrorIs(t, sqlstore.New(nil, sqlstore.SQLite).Migrate(t.Context()), sqlstore.ErrNoDB)
	require.ErrorIs(t, sqlstore.New(db, sqlstore.Dialect{}).Verify(t.Context()), sqlstore.ErrNoDialect)
}

// Handle takes a delivery in.
func (b *book) Handle(_ context.Context, d outbox.Delivery) error {
	b.begin(d.Key)
	b.end(d, nil)
	return nil
}
