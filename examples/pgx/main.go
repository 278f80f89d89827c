// Command pgx shows the queue on Postgres for a program that uses pgx: messages are
// stored in its own pgx.Tx, and a relay in another pool, as in another process, is
// woken by NOTIFY after the commit. It needs a Postgres server:
//
//	DOVETAIL_POSTGRES_URL=postgres://user@host/database go run ./examples/pgx
//
// Without the variable it tries postgres@127.0.0.1:5432/test. It works in a schema
// of its own, which it drops at the end.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/pgxstore"
	"github.com/tectari/dovetail/store/sqlstore"
)

func main() {
	at := os.Getenv("DOVETAIL_POSTGRES_URL")
	if at == "" {
		at = "postgres://postgres@127.0.0.1:5432/test"
	}
	if err := run(context.Background(), os.Stdout, at); err != nil {
		fmt.Fprintln(os.Stderr, "pgx:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, at string) (err error) {
	pool, drop, err := connect(ctx, at)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()

	// The store runs over database/sql; OpenDBFromPool gives it the pool we have.
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	store := sqlstore.New(db, sqlstore.Postgres)
	if err := errors.Join(store.Migrate(ctx), store.Verify(ctx)); err != nil {
		return err
	}
	bell, err := pgxstore.NewBell(pgxstore.BellConfig{Pool: pool})
	if err != nil {
		return err
	}
	alerts, err := alert.New(alert.Config{AllowSilence: true}) // a real program says whom to wake
	if err != nil {
		return err
	}
	arrived := make(chan outbox.Delivery, 100)
	config := outbox.Config{Store: store, Alerts: alerts, Bell: bell, Destinations: []outbox.Destination{{Name: "accounting"}}}
	producer, err := outbox.New(config) // this process only enqueues
	if err != nil {
		return err
	}
	config.Destinations = []outbox.Destination{{Name: "accounting", Handler: outbox.HandlerFunc(func(_ context.Context, d outbox.Delivery) error {
		arrived <- d
		return nil
	})}}
	relay, err := outbox.New(config) // and this one, which could run anywhere, delivers
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- relay.Run(running) }()
	err = story(ctx, out, pool, producer, arrived)
	stop()
	return errors.Join(err, <-ended)
}

// story places orders in transactions of pgx and measures how long each message
// takes from its commit.
func story(ctx context.Context, out io.Writer, pool *pgxpool.Pool, queue *outbox.Queue, arrived <-chan outbox.Delivery) error {
	if _, err := pool.Exec(ctx, "CREATE TABLE orders (id text PRIMARY KEY, cents bigint NOT NULL)"); err != nil {
		return err
	}
	var took []time.Duration
	for n := range 100 {
		id := fmt.Sprintf("order-%03d", n)
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "INSERT INTO orders (id, cents) VALUES ($1, $2)", id, 100*n); err != nil {
				return err
			}
			return queue.Enqueue(ctx, sqlstore.FromPgx(tx), outbox.Message{
				ID: "invoice-" + id, To: "accounting", Key: "customer-1", Payload: []byte(id),
			})
		})
		if err != nil {
			return err
		}
		committed := time.Now()
		queue.Wake() // tells the other process
		select {
		case d := <-arrived:
			took = append(took, time.Since(committed))
			if d.ID != "invoice-"+id {
				return fmt.Errorf("%s arrived in place of invoice-%s", d.ID, id)
			}
		case <-time.After(20 * time.Second):
			return fmt.Errorf("invoice-%s did not arrive", id)
		}
	}
	slices.Sort(took)
	fmt.Fprintf(out, "100 orders, 100 messages: each once and in order; from commit to delivery %s in the median, %s at most.\n",
		took[50].Round(10*time.Microsecond), took[99].Round(10*time.Microsecond))
	return nil
}

// connect makes a schema for this run and returns a pool that works in it.
func connect(ctx context.Context, at string) (*pgxpool.Pool, func() error, error) {
	config, err := pgxpool.ParseConfig(at)
	if err != nil {
		return nil, nil, err
	}
	schema := "dovetail_example_" + uuid.NewString()[:8]
	config.ConnConfig.RuntimeParams["search_path"] = schema
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	if _, err := pool.Exec(ctx, "CREATE SCHEMA "+schema); err != nil {
		pool.Close()
		return nil, nil, fmt.Errorf("is there a Postgres? set DOVETAIL_POSTGRES_URL: %w", err)
	}
	return pool, func() error {
		defer pool.Close()
		_, err := pool.Exec(context.WithoutCancel(ctx), "DROP SCHEMA "+schema+" CASCADE")
		return err
	}, nil
}
