package sqlstore

import (
	"context"
	"errors"

	"github.com/tectari/dovetail/outbox"
)

// errPgxTx is what the transaction that FromPgx returns says of its end.
var errPgxTx = errors.New("sqlstore: commit or roll back the pgx.Tx itself")

// FromPgx lets messages be stored in a transaction of pgx, or of anything whose
// Exec is like pgx's:
//
//	err := queue.Enqueue(ctx, sqlstore.FromPgx(tx), outbox.Message{…})
//
// The transaction must be of the database that the store is on, and the store's
// dialect Postgres. The caller commits tx, and then calls queue.Wake if
// milliseconds matter. No type argument needs to be written, and this package
// does not import pgx.
func FromPgx[T interface{ RowsAffected() int64 }](tx interface {
	Exec(ctx context.Context, sql string, args ...any) (T, error)
},
) outbox.Tx {
	if tx == nil {
		return nil
	}
	return execPgx(tx)
}

func execPgx[T interface{ RowsAffected() int64 }](tx interface {
	Exec(ctx context.Context, sql string, args ...any) (T, error)
},
) pgxTx {
	return func(ctx context.Context, query string, args ...any) (int64, error) {
		tag, err := tx.Exec(ctx, query, args...)
		if err != nil {
			return 0, err
		}
		return tag.RowsAffected(), nil
	}
}

// FromPgxCopy is FromPgx for a transaction that can also COPY: many messages are then
// stored by that, which costs the server half. CopyIn stores rows of values, one for
// each of the columns, in a table, in the same transaction. Module store/pgxstore calls
// it.
func FromPgxCopy[T interface{ RowsAffected() int64 }](tx interface {
	Exec(ctx context.Context, sql string, args ...any) (T, error)
}, copyIn func(ctx context.Context, table string, columns []string, rows [][]any) error,
) outbox.Tx {
	if tx == nil {
		return nil
	}
	return pgxCopyTx{execPgx(tx), copyIn}
}

// A pgxTx runs statements in a transaction of pgx.
type pgxTx func(ctx context.Context, query string, args ...any) (int64, error)

func (exec pgxTx) exec(ctx context.Context, query string, args ...any) (int64, error) {
	return exec(ctx, query, args...)
}

// A pgxCopyTx also stores rows by COPY.
type pgxCopyTx struct {
	pgxTx
	copyIn func(ctx context.Context, table string, columns []string, rows [][]any) error
}

// Commit does nothing: whoever began the transaction ends it.
func (pgxTx) Commit() error { return errPgxTx }

// Rollback does nothing: whoever began the transaction ends it.
func (pgxTx) Rollback() error { return errPgxTx }

// CountMatters reports whether what Enqueue does next depends on how many rows a
// statement touched. An adapter that sends several statements at once must run such
// a one by itself.
func CountMatters(query string) bool {
	return query == postgresOutbox.dedup || query == postgresOutbox.see
}
