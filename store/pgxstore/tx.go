package pgxstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/sqlstore"
)

// A Tx is a transaction whose messages travel with its COMMIT, and whose BEGIN
// travels with its first statement: two round trips instead of four. It is for one
// goroutine, until the function that got it returns.
type Tx struct {
	conn  *pgxpool.Conn
	queue *outbox.Queue
	begun bool
	err   error // of BEGIN: nothing can follow
	msgs  []outbox.Message
}

// ErrNotCommitted is returned where Postgres answered COMMIT with a rollback, since
// a statement had failed whose error was not returned by the function.
var ErrNotCommitted = errors.New("pgxstore: a statement of the transaction failed, so it was rolled back")

// InTx runs fn in a transaction of pool and commits it, together with the messages
// that fn enqueued, when fn returns nil; then it wakes the relays. The store of
// queue must be on the same database. What fn returns, and what Postgres says, is
// returned; then nothing has happened. After an error of the connection during the
// commit nobody knows whether it has: see the documentation of pgconn.SafeToRetry.
func InTx(ctx context.Context, pool *pgxpool.Pool, queue *outbox.Queue, fn func(ctx context.Context, tx *Tx) error) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("pgxstore: transaction: %w", err)
	}
	defer conn.Release() // destroys a connection that is still in a transaction
	tx := &Tx{conn: conn, queue: queue}
	defer tx.abandon(ctx)
	if err := fn(ctx, tx); err != nil {
		return err
	}
	if err := tx.commit(ctx); err != nil {
		return fmt.Errorf("pgxstore: transaction: %w", err)
	}
	queue.Wake()
	return nil
}

// Enqueue adds messages to the transaction. They are checked and sent when it
// commits.
func (tx *Tx) Enqueue(msgs ...outbox.Message) { tx.msgs = append(tx.msgs, msgs...) }

// Exec runs a statement. The first one takes BEGIN along.
func (tx *Tx) Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error) {
	if tx.err != nil {
		return pgconn.CommandTag{}, tx.err
	}
	if tx.begun {
		return tx.conn.Exec(ctx, query, args...)
	}
	var batch pgx.Batch
	batch.Queue("BEGIN")
	batch.Queue(query, args...)
	tx.begun = true // or not: the connection knows
	tags, err := execAll(tx.conn.SendBatch(ctx, &batch), batch.Len())
	return tags.last, err
}

// Query runs a query.
func (tx *Tx) Query(ctx context.Context, query string, args ...any) (pgx.Rows, error) {
	if err := tx.begin(ctx); err != nil {
		return nil, err
	}
	return tx.conn.Query(ctx, query, args...)
}

// QueryRow runs a query for one row. What went wrong is told by Scan.
func (tx *Tx) QueryRow(ctx context.Context, query string, args ...any) pgx.Row {
	if err := tx.begin(ctx); err != nil {
		return failed{err}
	}
	return tx.conn.QueryRow(ctx, query, args...)
}

// failed is a row that could not be asked for.
type failed struct{ err error }

func (f failed) Scan(...any) error { return f.err }

func (tx *Tx) begin(ctx context.Context) error {
	if tx.begun || tx.err != nil {
		return tx.err
	}
	_, tx.err = tx.conn.Exec(ctx, "BEGIN")
	tx.begun = tx.err == nil
	return tx.err
}

// commit sends the messages and COMMIT in one round trip. If a message cannot be
// stored, Postgres skips what follows it, so COMMIT is not executed.
func (tx *Tx) commit(ctx context.Context) error {
	if tx.err != nil {
		return tx.err
	}
	if !tx.begun && len(tx.msgs) == 0 {
		return nil
	}
	last := &batcher{conn: tx.conn}
	if !tx.begun {
		last.batch.Queue("BEGIN")
		tx.begun = true
	}
	if err := tx.queue.Enqueue(ctx, sqlstore.FromPgxCopy(last, last.copyIn), tx.msgs...); err != nil {
		return err
	}
	last.batch.Queue("COMMIT")
	tags, err := execAll(tx.conn.SendBatch(ctx, &last.batch), last.batch.Len())
	if err != nil {
		return err
	}
	if tags.last.String() != "COMMIT" {
		return ErrNotCommitted
	}
	tx.begun = false
	return nil
}

// abandon rolls back what was not committed.
func (tx *Tx) abandon(ctx context.Context) {
	if !tx.begun || tx.conn.Conn().PgConn().TxStatus() == 'I' {
		return
	}
	// If this fails, the connection does not go back to the pool.
	_, _ = tx.conn.Exec(context.WithoutCancel(ctx), "ROLLBACK")
}

// FromTx lets messages be stored in a transaction that the caller begins and commits,
// as sqlstore.FromPgx does, and many of them by COPY:
//
//	err := queue.Enqueue(ctx, pgxstore.FromTx(tx), messages...)
func FromTx(tx pgx.Tx) outbox.Tx {
	return sqlstore.FromPgxCopy(tx, func(ctx context.Context, table string, columns []string, rows [][]any) error {
		_, err := tx.CopyFrom(ctx, pgx.Identifier{table}, columns, pgx.CopyFromRows(rows))
		return err
	})
}

// A batcher keeps statements for one round trip. Where the number of rows decides
// what follows, which is so for deduplication keys, the statement runs at once.
type batcher struct {
	conn  *pgxpool.Conn
	batch pgx.Batch
}

// copyIn sends what is kept, and then the rows. They stay in the transaction that was
// begun, or that what is kept begins.
func (b *batcher) copyIn(ctx context.Context, table string, columns []string, rows [][]any) error {
	if err := b.send(ctx); err != nil {
		return err
	}
	_, err := b.conn.CopyFrom(ctx, pgx.Identifier{table}, columns, pgx.CopyFromRows(rows))
	return err
}

// send sends what is kept.
func (b *batcher) send(ctx context.Context) error {
	if b.batch.Len() == 0 {
		return nil
	}
	err := b.conn.SendBatch(ctx, &b.batch).Close()
	b.batch = pgx.Batch{}
	return err
}

// Exec keeps a statement, or runs it.
func (b *batcher) Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error) {
	if sqlstore.CountMatters(query) {
		if err := b.send(ctx); err != nil {
			return pgconn.CommandTag{}, err
		}
		return b.conn.Exec(ctx, query, args...)
	}
	b.batch.Queue(query, args...)
	return pgconn.CommandTag{}, nil
}
