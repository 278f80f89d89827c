package outboxtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/outbox"
)

// A txn is a transaction of the business that messages are enqueued in.
type txn struct {
	e       *env
	tx      *sql.Tx
	pending []outbox.Message
}

// openTx begins a transaction.
func (e *env) openTx() *txn {
	e.Helper()
	o := &sql.TxOptions{}
	if e.kind != sqlite {
		o.Isolation = sql.LevelReadCommitted
	}
	tx, err := e.db().BeginTx(e.Context(), o)
	require.NoError(e, err)
	return &txn{e: e, tx: tx}
}

// send enqueues messages; those without an ID get one.
func (x *txn) send(msgs ...outbox.Message) *txn {
	x.e.Helper()
	for i := range msgs {
		if msgs[i].ID == "" {
			msgs[i].ID = x.e.name()
		}
		if msgs[i].To == "" {
			msgs[i].To = x.e.destinations[0].Name
		}
	}
	require.NoError(x.e, x.e.q.Enqueue(x.e.Context(), x.tx, msgs...))
	x.pending = append(x.pending, msgs...)
	return x
}

// put enqueues one message for each key.
func (x *txn) put(keys ...string) *txn {
	x.e.Helper()
	for _, key := range keys {
		x.send(outbox.Message{Key: key})
	}
	return x
}

// exec runs a statement in the transaction.
func (x *txn) exec(query string) *txn {
	x.e.Helper()
	_, err := x.tx.Exec(query)
	require.NoError(x.e, err, query)
	return x
}

// forget says that the last n messages will not be there: they were left out, or
// go with a savepoint.
func (x *txn) forget(n int) *txn {
	x.pending = x.pending[:len(x.pending)-n]
	return x
}

func (x *txn) commit() {
	x.e.Helper()
	require.NoError(x.e, x.tx.Commit())
	x.e.record.commit(x.pending...)
}

func (x *txn) rollback() {
	x.e.Helper()
	require.NoError(x.e, x.tx.Rollback())
}

// name returns an ID.
func (r *record) name() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.serial++
	return fmt.Sprint("m", r.serial)
}

// put commits one message for each key, each in a transaction of its own.
func (e *env) put(keys ...string) {
	e.Helper()
	for _, key := range keys {
		e.openTx().put(key).commit()
	}
}

// send commits messages in one transaction.
func (e *env) send(msgs ...outbox.Message) {
	e.Helper()
	e.openTx().send(msgs...).commit()
}

// many commits n messages over some keys, in transactions of a hundred.
func (e *env) many(n, keys int) {
	e.Helper()
	for i := 0; i < n; i += 100 {
		var msgs []outbox.Message
		for j := i; j < min(n, i+100); j++ {
			msgs = append(msgs, outbox.Message{Key: fmt.Sprint("k", j%keys)})
		}
		e.send(msgs...)
	}
}

// An office is writers that change a table of the business at once: each key has a
// version, and whoever changes it holds its row. So what was committed, and in
// which order, is in the database, also where an answer to a commit was lost.
type office struct {
	e         *env
	keys      int
	lock, set string
	stop      chan struct{}
	group     sync.WaitGroup
	mu        sync.Mutex
	failed    int
	last      error
}

// office makes the table and lets n writers work until close. With few keys they
// wait for each other.
func (e *env) office(n, keys int) *office {
	e.Helper()
	o := &office{e: e, keys: keys, stop: make(chan struct{})}
	switch e.kind {
	case postgres:
		o.lock, o.set = "SELECT version FROM office WHERE k = $1 FOR UPDATE", "UPDATE office SET version = $1 WHERE k = $2"
	case mariadb:
		o.lock, o.set = "SELECT version FROM office WHERE k = ? FOR UPDATE", "UPDATE office SET version = ? WHERE k = ?"
	default: // one writer at a time
		o.lock, o.set = "SELECT version FROM office WHERE k = ?", "UPDATE office SET version = ? WHERE k = ?"
	}
	e.exec("CREATE TABLE office (k varchar(20) PRIMARY KEY, version integer NOT NULL)")
	for k := range keys {
		e.exec(fmt.Sprintf("INSERT INTO office (k, version) VALUES ('k%d', 0)", k))
	}
	for w := range n {
		o.group.Go(func() {
			dice := rand.New(rand.NewPCG(uint64(w), 7))
			for {
				select {
				case <-o.stop:
					return
				default:
				}
				if err := o.change(context.WithoutCancel(e.Context()), dice); err != nil {
					o.mu.Lock()
					o.failed, o.last = o.failed+1, err
					o.mu.Unlock()
					time.Sleep(20 * time.Millisecond)
				}
			}
		})
	}
	return o
}

// change is one transaction: it moves a key on, slowly at times, and commits or
// rolls back.
func (o *office) change(ctx context.Context, dice *rand.Rand) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if o.e.kind == sqlite { // its writers are best queued in the process
		err := o.e.q.Tx(ctx, func(ctx context.Context, tx outbox.Tx) error { return o.work(ctx, tx.(*sql.Tx), dice) })
		if errors.Is(err, errTakenBack) {
			return nil
		}
		return err
	}
	tx, err := o.e.db().BeginTx(ctx, &sql.TxOptions{Isolation: o.e.readCommitted()})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := o.work(ctx, tx, dice); err != nil {
		if errors.Is(err, errTakenBack) {
			return tx.Rollback()
		}
		return err
	}
	return tx.Commit()
}

// errTakenBack says that the business changed its mind.
var errTakenBack = errors.New("taken back")

// work is what is done in the transaction.
func (o *office) work(ctx context.Context, tx *sql.Tx, dice *rand.Rand) error {
	key := fmt.Sprint("k", dice.IntN(o.keys))
	var version int
	if err := tx.QueryRowContext(ctx, o.lock, key).Scan(&version); err != nil {
		return err
	}
	for range 1 + dice.IntN(3) {
		version++
		m := outbox.Message{ID: fmt.Sprintf("%s-%d", key, version), To: o.e.destinations[0].Name, Key: key, Payload: make([]byte, dice.IntN(300))}
		if err := o.e.q.Enqueue(ctx, tx, m); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, o.set, version, key); err != nil {
		return err
	}
	if dice.IntN(12) == 0 {
		time.Sleep(time.Duration(dice.IntN(40)) * time.Millisecond)
	}
	if dice.IntN(8) == 0 {
		return errTakenBack
	}
	return nil
}

// readCommitted is the isolation of business transactions, where there is a choice.
func (e *env) readCommitted() sql.IsolationLevel {
	if e.kind == sqlite {
		return sql.LevelDefault
	}
	return sql.LevelReadCommitted
}

// close lets the writers end and records what they committed; it returns how many
// of their transactions failed.
func (o *office) close() (failed int) {
	o.e.Helper()
	close(o.stop)
	o.group.Wait()
	// A server that was hurt may go down only now.
	o.e.until("the table can be read", func() bool {
		var n int
		return o.e.db().QueryRow("SELECT count(*) FROM office").Scan(&n) == nil
	})
	rows, err := o.e.db().Query("SELECT k, version FROM office")
	require.NoError(o.e, err)
	defer rows.Close()
	for rows.Next() {
		var key string
		var version int
		require.NoError(o.e, rows.Scan(&key, &version))
		var want []string
		for v := 1; v <= version; v++ {
			want = append(want, fmt.Sprintf("%s-%d", key, v))
		}
		o.e.expect(o.e.destinations[0].Name, key, want...)
	}
	require.NoError(o.e, rows.Err())
	return o.failed
}
