package contender

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tectari/dovetail/internal/bench/outbox/harness"
)

// A pool is what the contenders that speak pgx have in common.
type pool struct {
	*pgxpool.Pool
}

// openPool opens a pool with room for all writers.
func openPool(ctx context.Context, dsn string) (pool, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return pool{}, err
	}
	config.MaxConns = connections
	p, err := pgxpool.NewWithConfig(ctx, config)
	return pool{p}, err
}

// Close closes the pool.
func (p pool) Close() error {
	p.Pool.Close()
	return nil
}

// inTx writes a business transaction as everyone does: BEGIN, the business
// statement, the event, COMMIT.
func (p pool) inTx(ctx context.Context, e harness.Event, enqueue func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, p.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, businessPostgres, business(e)...); err != nil {
			return err
		}
		return enqueue(tx)
	})
}

// count runs a query for one number.
func (p pool) count(ctx context.Context, query string) (n int64, err error) {
	err = p.QueryRow(ctx, query).Scan(&n)
	return n, err
}
