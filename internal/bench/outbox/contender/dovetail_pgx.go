package contender

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/tectari/dovetail/internal/bench/outbox/harness"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/pgxstore"
	"github.com/tectari/dovetail/store/sqlstore"
)

// dovetailPgx is our queue in a program that uses pgx: the relay runs over
// database/sql on the same pool, and messages travel with the program's own round
// trips.
type dovetailPgx struct {
	dovetail
	pool *pgxpool.Pool
}

func openDovetailPgx(ctx context.Context, dsn string) (harness.System, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	config.MaxConns = 40 // more than the most writers
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	db := stdlib.OpenDBFromPool(pool)
	return &dovetailPgx{dovetail{db: db, store: sqlstore.New(db, sqlstore.Postgres), statement: businessPostgres}, pool}, nil
}

func (d *dovetailPgx) Writer(how harness.Transaction) (harness.Write, error) {
	switch how {
	case harness.Callers:
		return func(ctx context.Context, e harness.Event) error {
			err := pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
				if _, err := tx.Exec(ctx, d.statement, business(e)...); err != nil {
					return err
				}
				return d.queue.Enqueue(ctx, sqlstore.FromPgx(tx), ourMessage(e))
			})
			if err == nil {
				d.queue.Wake()
			}
			return err
		}, nil
	case harness.Owned:
		return func(ctx context.Context, e harness.Event) error {
			return pgxstore.InTx(ctx, d.pool, d.queue, func(ctx context.Context, tx *pgxstore.Tx) error {
				tx.Enqueue(ourMessage(e))
				_, err := tx.Exec(ctx, d.statement, business(e)...)
				return err
			})
		}, nil
	case harness.Single:
		return func(ctx context.Context, e harness.Event) error {
			_, err := pgxstore.Exec(ctx, d.pool, d.queue, d.statement, business(e), ourMessage(e))
			return err
		}, nil
	}
	return nil, harness.ErrUnable
}

func (d *dovetailPgx) Bulk(ctx context.Context, events []harness.Event) error {
	messages := make([]outbox.Message, len(events))
	for i, e := range events {
		messages[i] = ourMessage(e)
	}
	return pgxstore.InTx(ctx, d.pool, d.queue, func(_ context.Context, tx *pgxstore.Tx) error {
		tx.Enqueue(messages...)
		return nil
	})
}

func (d *dovetailPgx) Close() error {
	err := d.db.Close()
	d.pool.Close()
	return err
}
