package pgxstore

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/sqlstore"
)

// Exec runs one statement and stores the messages that it calls for, in one round
// trip and one transaction: both happen, or neither; then it wakes the relays. The
// store of queue must be on the database of pool. Messages with a DedupKey need
// InTx: whether they are stored decides what follows.
func Exec(ctx context.Context, pool *pgxpool.Pool, queue *outbox.Queue, query string, args []any, msgs ...outbox.Message) (pgconn.CommandTag, error) {
	for _, m := range msgs {
		if m.DedupKey != "" {
			return pgconn.CommandTag{}, fmt.Errorf("pgxstore: message %s has a DedupKey: use InTx: %w", m.ID, outbox.ErrInvalidMessage)
		}
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return pgconn.CommandTag{}, fmt.Errorf("pgxstore: %w", err)
	}
	defer conn.Release()
	// A batch without transaction statements is one transaction by itself.
	b := &batcher{conn: conn}
	b.batch.Queue(query, args...)
	if err := queue.Enqueue(ctx, sqlstore.FromPgx(b), msgs...); err != nil {
		return pgconn.CommandTag{}, err
	}
	tags, err := execAll(conn.SendBatch(ctx, &b.batch), b.batch.Len())
	if err != nil {
		return pgconn.CommandTag{}, fmt.Errorf("pgxstore: %w", err)
	}
	queue.Wake()
	return tags.first, nil
}

// tags are what the first and the last statement of a batch did.
type tags struct{ first, last pgconn.CommandTag }

// execAll runs a batch of n statements.
func execAll(results pgx.BatchResults, n int) (t tags, err error) {
	for i := range n {
		if t.last, err = results.Exec(); err != nil {
			_ = results.Close() // its error is this one
			return tags{}, err
		}
		if i == 0 {
			t.first = t.last
		}
	}
	return t, results.Close()
}
