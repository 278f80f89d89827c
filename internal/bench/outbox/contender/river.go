package contender

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/tectari/dovetail/internal/bench/outbox/harness"
)

// rivers are River with its defaults, and as fast as its settings make it here.
func rivers() []harness.Contender {
	tuned := func(c *river.Config) {
		c.Queues[river.QueueDefault] = river.QueueConfig{MaxWorkers: 5000}
		c.FetchCooldown, c.FetchPollInterval = 2*time.Millisecond, 5*time.Millisecond
	}
	byDefault := func(*river.Config) {}
	list := []harness.Contender{
		{Name: "River default", Database: "postgres", Settings: "riverpgxv5, MaxWorkers 100, all defaults", Open: openRiverPostgres(byDefault)},
		{
			Name: "River tuned", Database: "postgres", Open: openRiverPostgres(tuned),
			Settings: "riverpgxv5, MaxWorkers 5000, FetchCooldown 2 ms, FetchPollInterval 5 ms; bulk by InsertManyFast (COPY)",
		},
		{
			Name: "River tuned", Database: "sqlite", Open: openRiverSQLite(tuned),
			Settings: "riversqlite, one connection as its documentation says, MaxWorkers 5000, FetchCooldown 2 ms, FetchPollInterval 5 ms",
			Backlog:  15_000,
		},
	}
	for i := range list {
		list[i].Role, list[i].Version = harness.Peer, version("github.com/riverqueue/river")
	}
	return list
}

// riverArgs is an event as River's job. The body is JSON already.
type riverArgs struct{ body json.RawMessage }

func (riverArgs) Kind() string { return "event" }

func (a riverArgs) MarshalJSON() ([]byte, error) { return a.body, nil }

func (a *riverArgs) UnmarshalJSON(body []byte) error {
	a.body = slices.Clone(body)
	return nil
}

// riverWorker hands jobs over.
type riverWorker struct {
	river.WorkerDefaults[riverArgs]
	deliver func([]byte)
}

func (w *riverWorker) Work(_ context.Context, job *river.Job[riverArgs]) error {
	w.deliver(job.Args.body)
	return nil
}

// riverQueue is River on one of its drivers. One client inserts and works, as in
// its documentation.
type riverQueue[TTx any] struct {
	driver riverdriver.Driver[TTx]
	client *river.Client[TTx]
	worker *riverWorker
	// inTx writes a business transaction.
	inTx  func(ctx context.Context, e harness.Event, enqueue func(TTx) error) error
	count func(ctx context.Context, query string) (int64, error)
	close func() error
}

func openRiverPostgres(set func(*river.Config)) func(context.Context, string) (harness.System, error) {
	return func(ctx context.Context, dsn string) (harness.System, error) {
		p, err := openPool(ctx, dsn)
		if err != nil {
			return nil, err
		}
		return newRiver(&riverQueue[pgx.Tx]{driver: riverpgxv5.New(p.Pool), inTx: p.inTx, count: p.count, close: p.Close}, set)
	}
}

func openRiverSQLite(set func(*river.Config)) func(context.Context, string) (harness.System, error) {
	return func(_ context.Context, dsn string) (harness.System, error) {
		db, err := sql.Open("sqlite", dsn)
		if err != nil {
			return nil, err
		}
		db.SetMaxOpenConns(1)
		return newRiver(&riverQueue[*sql.Tx]{
			driver: riversqlite.New(db), close: db.Close,
			inTx: func(ctx context.Context, e harness.Event, enqueue func(*sql.Tx) error) error {
				return inTx(ctx, db, businessQuestion, e, enqueue)
			},
			count: func(ctx context.Context, query string) (int64, error) { return counted(ctx, db, query) },
		}, set)
	}
}

// newRiver completes r with a client.
func newRiver[TTx any](r *riverQueue[TTx], set func(*river.Config)) (harness.System, error) {
	r.worker = &riverWorker{}
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, r.worker); err != nil {
		return nil, errors.Join(err, r.close())
	}
	config := &river.Config{
		Queues:  map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 100}},
		Workers: workers, Logger: slog.New(slog.DiscardHandler),
	}
	set(config)
	var err error
	if r.client, err = river.NewClient(r.driver, config); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *riverQueue[TTx]) Setup(ctx context.Context, _ bool) error {
	migrator, err := rivermigrate.New(r.driver, &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}

func (r *riverQueue[TTx]) Writer(how harness.Transaction) (harness.Write, error) {
	if how != harness.Callers {
		return nil, harness.ErrUnable
	}
	return func(ctx context.Context, e harness.Event) error {
		return r.inTx(ctx, e, func(tx TTx) error {
			_, err := r.client.InsertTx(ctx, tx, riverArgs{body: e.Body}, nil)
			return err
		})
	}, nil
}

func (r *riverQueue[TTx]) Bulk(ctx context.Context, events []harness.Event) error {
	params := make([]river.InsertManyParams, len(events))
	for i, e := range events {
		params[i].Args = riverArgs{body: e.Body}
	}
	_, err := r.client.InsertManyFast(ctx, params)
	return err
}

func (r *riverQueue[TTx]) Consume(ctx context.Context, deliver func([]byte)) error {
	r.worker.deliver = deliver
	live := context.WithoutCancel(ctx)
	if err := r.client.Start(live); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	<-ctx.Done()
	return r.client.Stop(live)
}

func (r *riverQueue[TTx]) Left(ctx context.Context) (int64, error) {
	return r.count(ctx, `SELECT count(*) FROM river_job WHERE state <> 'completed'`)
}

func (r *riverQueue[TTx]) Close() error { return r.close() }
