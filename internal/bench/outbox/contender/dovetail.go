package contender

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver for Postgres

	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/internal/bench/outbox/harness"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/sqlstore"
)

// dovetails are ours. Where a server gets its dialect or a store of its own, its
// line here changes and nothing else.
func dovetails() []harness.Contender {
	ours := func(name, database, store string, open func(context.Context, string) (harness.System, error)) harness.Contender {
		return harness.Contender{
			Name: name, Role: harness.Ours, Database: database, Usual: harness.Owned, Ordered: true,
			Version: "github.com/tectari/dovetail, this tree", Settings: store + ", a batch handler of 500, Buffer 8192", Open: open,
		}
	}
	return []harness.Contender{
		ours("Dovetail", "postgres", "sqlstore.Postgres on pgx's database/sql driver", openDovetail("pgx", sqlstore.Postgres, businessPostgres)),
		ours("Dovetail pgx", "postgres", "pgxstore.InTx and Exec on a pgxpool, sqlstore.Postgres for the relay on the same pool", openDovetailPgx),
		ours("Dovetail", "mariadb", "sqlstore.MySQL", openDovetail("mysql", sqlstore.MySQL, businessQuestion)),
		ours("Dovetail", "sqlite", "sqlstore.SQLite", openDovetail("sqlite", sqlstore.SQLite, businessQuestion)),
	}
}

// destination is where all events go.
const destination = "sink"

// dovetail is our queue on sqlstore.
type dovetail struct {
	db        *sql.DB
	store     *sqlstore.Store
	statement string // of the business
	queue     *outbox.Queue
	deliver   func([]byte)
}

// openDovetail returns what opens our queue on a database/sql driver.
func openDovetail(driver string, dialect sqlstore.Dialect, statement string) func(context.Context, string) (harness.System, error) {
	return func(_ context.Context, dsn string) (harness.System, error) {
		db, err := openSQL(driver, dsn)
		if err != nil {
			return nil, err
		}
		return &dovetail{db: db, store: sqlstore.New(db, dialect), statement: statement}, nil
	}
}

func (d *dovetail) Setup(ctx context.Context, keyed bool) error {
	if err := d.store.Migrate(ctx); err != nil {
		return err
	}
	alerts, err := alert.New(alert.Config{AllowSilence: true, Routes: []alert.Route{{To: []alert.Sink{alert.Log(slog.New(slog.DiscardHandler))}}}})
	if err != nil {
		return err
	}
	order := outbox.Unordered
	if keyed {
		order = outbox.PerKey
	}
	d.queue, err = outbox.New(outbox.Config{
		Store: d.store, Alerts: alerts,
		Destinations: []outbox.Destination{{
			Name: destination, Order: order,
			// A sink that does nothing is one call for many messages.
			Batch: outbox.BatchHandlerFunc(func(_ context.Context, batch []outbox.Delivery) []error {
				for i := range batch {
					d.deliver(batch[i].Payload)
				}
				return outbox.All(batch, nil)
			}),
			BatchSize: 500, Buffer: 8192,
		}},
	})
	return err
}

func (d *dovetail) Writer(how harness.Transaction) (harness.Write, error) {
	switch how {
	case harness.Callers:
		return func(ctx context.Context, e harness.Event) error {
			err := inTx(ctx, d.db, d.statement, e, func(tx *sql.Tx) error { return d.queue.Enqueue(ctx, tx, ourMessage(e)) })
			if err != nil {
				return err
			}
			d.queue.Wake()
			return nil
		}, nil
	case harness.Owned, harness.Single: // there is no shorter call for a single statement
		return func(ctx context.Context, e harness.Event) error {
			return d.queue.Tx(ctx, func(ctx context.Context, tx outbox.Tx) error {
				x, ok := tx.(*sql.Tx)
				if !ok {
					return fmt.Errorf("transaction is a %T", tx)
				}
				if _, err := x.ExecContext(ctx, d.statement, business(e)...); err != nil {
					return err
				}
				return d.queue.Enqueue(ctx, tx, ourMessage(e))
			})
		}, nil
	}
	return nil, harness.ErrUnable
}

// ourMessage returns an event as we store it.
func ourMessage(e harness.Event) outbox.Message {
	return outbox.Message{To: destination, Key: e.Key, Payload: e.Body}
}

func (d *dovetail) Bulk(ctx context.Context, events []harness.Event) error {
	messages := make([]outbox.Message, len(events))
	for i, e := range events {
		messages[i] = ourMessage(e)
	}
	return d.queue.Tx(ctx, func(ctx context.Context, tx outbox.Tx) error { return d.queue.Enqueue(ctx, tx, messages...) })
}

func (d *dovetail) Consume(ctx context.Context, deliver func([]byte)) error {
	d.deliver = deliver
	return d.queue.Run(ctx)
}

func (d *dovetail) Left(ctx context.Context) (int64, error) {
	return counted(ctx, d.db, `SELECT (SELECT count(*) FROM dovetail_message) + (SELECT count(*) FROM dovetail_parked)`)
}

func (d *dovetail) Close() error { return d.db.Close() }
