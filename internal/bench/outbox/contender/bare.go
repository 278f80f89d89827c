package contender

import (
	"context"
	"database/sql"

	"github.com/jackc/pgx/v5"

	"github.com/tectari/dovetail/internal/bench/outbox/harness"
)

// bares are the business transaction alone: BEGIN, one INSERT, COMMIT.
func bares() []harness.Contender {
	bare := func(database, settings string, open func(context.Context, string) (harness.System, error)) harness.Contender {
		return harness.Contender{
			Name: "bare", Role: harness.Bare, Database: database,
			Version: "the business transaction without an event", Settings: settings, Open: open,
		}
	}
	return []harness.Contender{
		bare("postgres", "pgx, three round trips", func(ctx context.Context, dsn string) (harness.System, error) {
			p, err := openPool(ctx, dsn)
			return &barePostgres{bareSystem{}, p}, err
		}),
		bare("mariadb", "three round trips", func(_ context.Context, dsn string) (harness.System, error) {
			db, err := openSQL("mysql", dsn)
			return &bareSQL{bareSystem{}, db}, err
		}),
		bare("sqlite", "one connection for all writers", func(_ context.Context, dsn string) (harness.System, error) {
			db, err := sql.Open("sqlite", dsn)
			if err == nil {
				db.SetMaxOpenConns(1) // writers that wait here, and not for a lock, are not starved
			}
			return &bareSQL{bareSystem{}, db}, err
		}),
	}
}

// bareSystem is no queue: it holds no events, so the measures that need them skip
// it.
type bareSystem struct{}

func (bareSystem) Setup(context.Context, bool) error           { return nil }
func (bareSystem) Bulk(context.Context, []harness.Event) error { return harness.ErrUnable }
func (bareSystem) Consume(context.Context, func([]byte)) error { return harness.ErrUnable }
func (bareSystem) Left(context.Context) (int64, error)         { return 0, harness.ErrUnable }

// barePostgres runs it on pgx.
type barePostgres struct {
	bareSystem
	pool
}

func (b *barePostgres) Writer(harness.Transaction) (harness.Write, error) {
	return func(ctx context.Context, e harness.Event) error {
		return b.inTx(ctx, e, func(pgx.Tx) error { return nil })
	}, nil
}

// bareSQL runs it on database/sql.
type bareSQL struct {
	bareSystem
	db *sql.DB
}

func (b *bareSQL) Writer(harness.Transaction) (harness.Write, error) {
	return func(ctx context.Context, e harness.Event) error {
		return inTx(ctx, b.db, businessQuestion, e, func(*sql.Tx) error { return nil })
	}, nil
}

func (b *bareSQL) Close() error { return b.db.Close() }
