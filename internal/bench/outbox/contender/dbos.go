package contender

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/tectari/dovetail/internal/bench/outbox/harness"
)

// dboses are DBOS, whose unit is a durable workflow: an event is one that does
// nothing else.
func dboses() []harness.Contender {
	return []harness.Contender{{
		Name: "DBOS", Role: harness.Peer, Database: "postgres", Version: version("github.com/dbos-inc/dbos-transact-golang"), Open: openDBOS, Backlog: 5000,
		Settings: "WorkerConcurrency 200, base polling 10 ms; it cannot enqueue in the caller's transaction, so it does after COMMIT, which is not atomic",
	}}
}

// dbosQueue is a DBOS queue. What of it enqueues also works, as in their
// documentation.
type dbosQueue struct {
	pool    // of the business transactions
	own     dbos.Context
	deliver func([]byte)
}

func openDBOS(ctx context.Context, dsn string) (harness.System, error) {
	p, err := openPool(ctx, dsn)
	if err != nil {
		return nil, err
	}
	d := &dbosQueue{pool: p}
	theirs, err := openPool(ctx, dsn) // which they close
	if err != nil {
		return nil, err
	}
	d.own, err = dbos.NewContext(context.WithoutCancel(ctx), dbos.Config{
		AppName: "bench", SystemDBPool: theirs.Pool, Logger: slog.New(slog.DiscardHandler), ApplicationVersion: "1", ExecutorID: "bench",
	})
	return d, err
}

const dbosWorkflow = "deliver"

func (d *dbosQueue) Setup(context.Context, bool) error {
	dbos.RegisterWorkflow(d.own, func(_ dbos.Context, body string) (string, error) {
		d.deliver([]byte(body))
		return "", nil
	}, dbos.WithWorkflowName(dbosWorkflow))
	_, err := dbos.RegisterQueue(d.own, destination, dbos.WithWorkerConcurrency(200), dbos.WithQueueBasePollingInterval(10*time.Millisecond))
	return err
}

func (d *dbosQueue) enqueue(e harness.Event) error {
	_, err := dbos.Enqueue[string](d.own, destination, dbosWorkflow, string(e.Body), dbos.WithEnqueueApplicationVersion("1"))
	return err
}

func (d *dbosQueue) Writer(how harness.Transaction) (harness.Write, error) {
	if how != harness.Callers {
		return nil, harness.ErrUnable
	}
	return func(ctx context.Context, e harness.Event) error {
		if err := d.inTx(ctx, e, func(pgx.Tx) error { return nil }); err != nil {
			return err
		}
		return d.enqueue(e)
	}, nil
}

// Bulk enqueues one by one: there is no call for many.
func (d *dbosQueue) Bulk(_ context.Context, events []harness.Event) error {
	var group errgroup.Group
	group.SetLimit(16)
	for _, e := range events {
		group.Go(func() error { return d.enqueue(e) })
	}
	return group.Wait()
}

func (d *dbosQueue) Consume(ctx context.Context, deliver func([]byte)) error {
	d.deliver = deliver
	if err := dbos.Launch(d.own); err != nil {
		return err
	}
	<-ctx.Done()
	return dbos.Shutdown(d.own, 5*time.Second)
}

func (d *dbosQueue) Left(ctx context.Context) (int64, error) {
	return d.count(ctx, `SELECT count(*) FROM dbos.workflow_status WHERE queue_name = 'sink' AND status <> 'SUCCESS'`)
}

// Close ends what Consume has not ended.
func (d *dbosQueue) Close() error {
	return errors.Join(dbos.Shutdown(d.own, 5*time.Second), d.pool.Close())
}
