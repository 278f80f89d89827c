package outboxtest

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/sqlstore"
)

// A desk is a table of the business: each key has a version, and whoever changes
// it holds its row, so the order of a key is known.
type desk struct {
	store *sqlstore.Store
	queue *outbox.Queue
	lock  string // reads the version of a key and holds its row
	set   string // sets it
	keys  int

	mu        sync.Mutex
	committed map[string]int // the last version of each key
	total     int
}

// newDesk makes the table.
func newDesk(t *testing.T, s *sqlstore.Store, q *outbox.Queue, keys int) *desk {
	t.Helper()
	d := &desk{store: s, queue: q, keys: keys, committed: map[string]int{}}
	d.lock, d.set = "SELECT version FROM desk WHERE k = $1 FOR UPDATE", "UPDATE desk SET version = $1 WHERE k = $2"
	if s.DB().Driver() != nil && strings.Contains(fmt.Sprintf("%T", s.DB().Driver()), "mysql") {
		d.lock, d.set = "SELECT version FROM desk WHERE k = ? FOR UPDATE", "UPDATE desk SET version = ? WHERE k = ?"
	}
	_, err := s.DB().Exec("CREATE TABLE desk (k varchar(20) PRIMARY KEY, version integer NOT NULL)")
	require.NoError(t, err)
	for k := range keys {
		_, err := s.DB().Exec(fmt.Sprintf("INSERT INTO desk (k, version) VALUES ('k%d', 0)", k))
		require.NoError(t, err)
	}
	return d
}

// change is one business transaction: it moves some keys on, slowly at times, and
// commits or rolls back.
func (d *desk) change(ctx context.Context, dice *rand.Rand) error {
	tx, err := d.store.DB().BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	first := dice.IntN(d.keys)
	moved := map[string]int{}
	for k := first; k < min(d.keys, first+1+dice.IntN(2)); k++ { // in one order, or they would block each other
		key := fmt.Sprint("k", k)
		var version int
		if err := tx.QueryRowContext(ctx, d.lock, key).Scan(&version); err != nil {
			return err
		}
		for range 1 + dice.IntN(3) {
			version++
			if err := d.queue.Enqueue(ctx, tx, outbox.Message{ID: fmt.Sprintf("%s-%d", key, version), To: "a", Key: key, Payload: make([]byte, 100)}); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, d.set, version, key); err != nil {
			return err
		}
		moved[key] = version
		if dice.IntN(10) == 0 {
			time.Sleep(time.Duration(dice.IntN(60)) * time.Millisecond)
		}
	}
	if dice.IntN(8) == 0 {
		return tx.Rollback()
	}
	// Taken together with the commit: the rows are held until then.
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := tx.Commit(); err != nil {
		return err
	}
	for key, version := range moved {
		d.total += version - d.committed[key]
		d.committed[key] = version
	}
	return nil
}

// A counter is a handler that checks the order of each key.
type counter struct {
	mu       sync.Mutex
	last     map[string]int
	active   map[string]bool
	n        int
	repeated int
	broken   []string
}

func newCounter() *counter { return &counter{last: map[string]int{}, active: map[string]bool{}} }

func (c *counter) Handle(_ context.Context, d outbox.Delivery) error {
	c.mu.Lock()
	if c.active[d.Key] {
		c.broken = append(c.broken, "two in flight of "+d.Key)
	}
	c.active[d.Key] = true
	c.mu.Unlock()
	_, text, _ := strings.Cut(d.ID, "-")
	version, err := strconv.Atoi(text)
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.active, d.Key)
	switch last := c.last[d.Key]; {
	case err != nil || version > last+1:
		c.broken = append(c.broken, fmt.Sprintf("%s after %d", d.ID, last))
		c.last[d.Key] = version
	case version <= last:
		c.repeated++
	default:
		c.last[d.Key] = version
		c.n++
	}
	return nil
}

func (c *counter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// leaseEnough is a lease that is not lost on a slow machine.
const leaseEnough = 20 * time.Second

func TestWritersOfAllKindsPostgres(t *testing.T) { writers(t, freshPostgres(t)) }
func TestWritersOfAllKindsMySQL(t *testing.T)    { writers(t, freshMySQL(t)) }

// writers lets eight writers commit, roll back and dawdle while relays come and
// go and a transaction that has nothing to do with it stays open all along.
// Nothing is lost, nothing comes twice, and the order of each key holds.
func writers(t *testing.T, s *sqlstore.Store) {
	c := newCounter()
	destination := outbox.Destination{Name: "a", Handler: c, Concurrency: 16}
	d := newDesk(t, s, queueWith(t, s, leaseEnough, destination), 40)
	pin, err := s.DB().Begin()
	require.NoError(t, err)
	defer pin.Rollback()
	_, err = pin.Exec("CREATE TEMPORARY TABLE pin (n integer)")
	require.NoError(t, err)
	_, err = pin.Exec("INSERT INTO pin (n) VALUES (1)")
	require.NoError(t, err)

	stop := run(t, d.queue)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	var group sync.WaitGroup
	for w := range 8 {
		group.Go(func() {
			dice := rand.New(rand.NewPCG(uint64(w), 7))
			for ctx.Err() == nil {
				if err := d.change(context.WithoutCancel(ctx), dice); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Go(func() { // a second relay that comes and goes
		for ctx.Err() == nil {
			end := run(t, queueWith(t, s, leaseEnough, destination))
			time.Sleep(700 * time.Millisecond)
			end()
			time.Sleep(300 * time.Millisecond)
		}
	})
	group.Wait()
	require.Eventually(t, func() bool { return c.count() >= d.total }, 30*time.Second, 5*time.Millisecond, "delivered %d of %d", c.count(), d.total)
	stop()
	t.Logf("%d messages", d.total)
	require.Greater(t, d.total, 500)
	require.Empty(t, c.broken)
	require.Zero(t, c.repeated, "nothing comes twice without a crash")
	require.Equal(t, d.committed, c.last)
}
