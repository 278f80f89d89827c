package outboxtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/internal/integration/servers"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/sqlstore"
)

// found counts the messages that a relay had passed by.
type found struct{ n atomic.Int64 }

func (f *found) Start(ctx context.Context, _ dovetail.Event) context.Context { return ctx }
func (f *found) Record(_ context.Context, e dovetail.Event) {
	if e.Name == "outbox.found-behind" {
		f.n.Add(1)
	}
}

// A tally is how many messages of each key producers committed, and what was
// delivered.
type tally struct {
	*book
	mu        sync.Mutex
	committed map[string]int
	total     int
}

func (l *tally) commit(key string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.committed[key] += n
	l.total += n
}

// want is what must have been delivered: the numbers of a key are given under its
// lock, and given again after a rollback, so what is committed has no gap.
func (l *tally) want() map[string][]string {
	out := map[string][]string{}
	for key, n := range l.committed {
		for i := range n {
			out[key] = append(out[key], fmt.Sprint(key, "-", i+1))
		}
	}
	return out
}

// accounts is how many keys the producers write to.
const accounts = 20

// produce runs one transaction: it locks the row of a key, so that the messages of
// the key are committed in the order of their numbers, and enqueues one to three.
func (l *tally) produce(ctx context.Context, db *sql.DB, q *outbox.Queue, r *rand.Rand) error {
	key := fmt.Sprint("k", r.IntN(accounts))
	levels := []sql.IsolationLevel{sql.LevelDefault, sql.LevelReadCommitted}
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: levels[r.IntN(len(levels))]})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var n int
	if err := tx.QueryRowContext(ctx, "SELECT n FROM account WHERE name = ? FOR UPDATE", key).Scan(&n); err != nil {
		return err
	}
	var msgs []outbox.Message
	for range 1 + r.IntN(3) {
		n++
		msgs = append(msgs, outbox.Message{ID: fmt.Sprint(key, "-", n), To: "a", Key: key, Payload: make([]byte, r.IntN(300))})
	}
	if _, err := tx.ExecContext(ctx, "UPDATE account SET n = ? WHERE name = ?", n, key); err != nil {
		return err
	}
	if err := q.Enqueue(ctx, tx, msgs...); err != nil {
		return err
	}
	switch f := r.IntN(1000); {
	case f < 2:
		time.Sleep(2500*time.Millisecond + time.Duration(r.IntN(1000))*time.Millisecond) // longer than a hole is old
	case f < 40:
		time.Sleep(time.Duration(r.IntN(80)) * time.Millisecond)
	}
	if r.IntN(7) == 0 {
		return tx.Rollback()
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	l.commit(key, len(msgs))
	return nil
}

// patientQueue has a lease that a busy machine does not make it lose, and an observer.
func patientQueue(t *testing.T, s *sqlstore.Store, o dovetail.Observer, d outbox.Destination) *outbox.Queue {
	t.Helper()
	alerts, err := alert.New(alert.Config{AllowSilence: true})
	require.NoError(t, err)
	q, err := outbox.New(outbox.Config{
		Store: s, Alerts: alerts, Destinations: []outbox.Destination{d}, Observer: o, Lease: leaseEnough, PollMax: 20 * time.Millisecond,
	})
	require.NoError(t, err)
	return q
}

// TestSlowWritersMySQL has producers, at both isolation levels, stay open for longer
// than a hole is young, while relays come and go and somebody else's transaction is
// open all along.
func TestSlowWritersMySQL(t *testing.T) {
	t.Parallel()
	c := servers.MariaDBDatabase(t)
	s := sqlstore.New(servers.OpenMariaDB(t, c), sqlstore.MySQL)
	require.NoError(t, s.Migrate(t.Context()))
	db := servers.OpenMariaDB(t, c)
	_, err := db.Exec("CREATE TABLE account (name VARCHAR(20) PRIMARY KEY, n INT NOT NULL) ENGINE=InnoDB")
	require.NoError(t, err)
	for i := range accounts {
		_, err := db.Exec("INSERT INTO account VALUES (?, 0)", fmt.Sprint("k", i))
		require.NoError(t, err)
	}
	// Somebody else's transaction is open all along: it has written, and reads.
	other, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	require.NoError(t, err)
	defer other.Rollback()
	_, err = other.Exec("INSERT INTO account VALUES ('other', 0)")
	require.NoError(t, err)
	var n int
	require.NoError(t, other.QueryRow("SELECT count(*) FROM dovetail_message").Scan(&n))

	passed := &found{}
	l := &tally{book: newBook(), committed: map[string]int{}}
	destination := outbox.Destination{Name: "a", Concurrency: 8, Handler: outbox.HandlerFunc(func(_ context.Context, d outbox.Delivery) error {
		l.begin(d.Key)
		defer l.end(d, nil)
		if rand.IntN(50) == 0 {
			time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond)
		}
		return nil
	})}
	queue := func() *outbox.Queue { return patientQueue(t, s, passed, destination) }

	length := 12 * time.Second
	if testing.Short() {
		length = 5 * time.Second
	}
	until := time.Now().Add(length)
	var work sync.WaitGroup
	failures := make(chan error, 16)
	for i := range 8 {
		q := queue()
		work.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), uint64(until.UnixNano())))
			for time.Now().Before(until) {
				if err := l.produce(t.Context(), db, q, r); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	// Two relays, each of which leaves and comes back now and then.
	for range 2 {
		work.Go(func() {
			for time.Now().Before(until) {
				stop := run(t, queue())
				time.Sleep(500*time.Millisecond + time.Duration(rand.IntN(3000))*time.Millisecond)
				stop()
			}
		})
	}
	work.Wait()
	close(failures)
	for err := range failures {
		require.NoError(t, err, "no deadlock, and nothing else, comes to a producer")
	}
	stop := run(t, queue())
	require.Eventually(t, func() bool { return l.count() >= l.total }, 30*time.Second, 10*time.Millisecond)
	stop()
	t.Logf("%d committed and delivered, %d found behind", l.total, passed.n.Load())
	require.Equal(t, l.total, l.count(), "none delivered twice")
	require.Equal(t, l.want(), l.got, "each key in the order of its commits")
	require.False(t, l.broken, "two of a key in flight")
	require.Zero(t, passed.n.Load(), "the readers passed none by")
	require.NoError(t, db.QueryRow("SELECT (SELECT count(*) FROM dovetail_message) + (SELECT count(*) FROM dovetail_parked)").Scan(&n))
	require.Zero(t, n)
}

// TestDedupNeverDeadlocksMySQL has callers enqueue the same deduplication keys in
// different orders, in transactions of the store, which are repeated.
func TestDedupNeverDeadlocksMySQL(t *testing.T) {
	t.Parallel()
	s := freshMySQL(t)
	q := queueOn(t, s, outbox.Destination{Name: "a"})
	var work sync.WaitGroup
	failures := make(chan error, 8)
	for i := range 8 {
		work.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for range 25 {
				err := q.Tx(t.Context(), func(ctx context.Context, tx outbox.Tx) error {
					var msgs []outbox.Message
					for range 5 {
						k := fmt.Sprint(r.IntN(40))
						msgs = append(msgs, outbox.Message{To: "a", DedupKey: k})
					}
					return q.Enqueue(ctx, tx, msgs...)
				})
				if err != nil {
					failures <- err
					return
				}
			}
		})
	}
	work.Wait()
	close(failures)
	require.NoError(t, errors.Join(drain(failures)...))
	var n, keys int
	require.NoError(t, s.DB().QueryRow("SELECT count(*), (SELECT count(*) FROM dovetail_dedup) FROM dovetail_message").Scan(&n, &keys))
	require.Equal(t, keys, n, "one message for each key")
}

func drain(failures <-chan error) []error {
	var list []error
	for err := range failures {
		list = append(list, err)
	}
	return list
}
