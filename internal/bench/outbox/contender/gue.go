package contender

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/vgarvardt/gue/v5"
	"github.com/vgarvardt/gue/v5/adapter/pgxv5"

	"github.com/tectari/dovetail/internal/bench/outbox/harness"
)

// gues are gue with the strategy that its index serves: the default one sorts the
// whole queue for every job.
func gues() []harness.Contender {
	return []harness.Contender{{
		Name: "gue", Role: harness.Peer, Database: "postgres", Version: version("github.com/vgarvardt/gue/v5"), Open: openGue,
		Settings: "32 workers, poll 5 ms, RunAtPollStrategy", Backlog: 15_000,
	}}
}

// gueTables is its migrations/schema.sql.
const gueTables = `
CREATE TABLE gue_jobs (
  job_id      TEXT        NOT NULL PRIMARY KEY,
  priority    SMALLINT    NOT NULL,
  run_at      TIMESTAMPTZ NOT NULL,
  job_type    TEXT        NOT NULL,
  args        BYTEA       NOT NULL,
  error_count INTEGER     NOT NULL DEFAULT 0,
  last_error  TEXT,
  queue       TEXT        NOT NULL,
  created_at  TIMESTAMPTZ NOT NULL,
  updated_at  TIMESTAMPTZ NOT NULL
);
CREATE INDEX idx_gue_jobs_selector ON gue_jobs (queue, run_at, priority)`

// gueQueue is gue on pgx.
type gueQueue struct {
	pool
	client *gue.Client
}

func openGue(ctx context.Context, dsn string) (harness.System, error) {
	p, err := openPool(ctx, dsn)
	if err != nil {
		return nil, err
	}
	client, err := gue.NewClient(pgxv5.NewConnPool(p.Pool))
	return &gueQueue{pool: p, client: client}, err
}

func (g *gueQueue) Setup(ctx context.Context, _ bool) error {
	_, err := g.Exec(ctx, gueTables)
	return err
}

func (g *gueQueue) Writer(how harness.Transaction) (harness.Write, error) {
	if how != harness.Callers {
		return nil, harness.ErrUnable
	}
	return func(ctx context.Context, e harness.Event) error {
		return g.inTx(ctx, e, func(tx pgx.Tx) error { return g.client.EnqueueTx(ctx, gueJob(e), pgxv5.NewTx(tx)) })
	}, nil
}

// gueJob returns an event as gue's job.
func gueJob(e harness.Event) *gue.Job {
	return &gue.Job{Queue: destination, Type: "event", Args: e.Body}
}

func (g *gueQueue) Bulk(ctx context.Context, events []harness.Event) error {
	jobs := make([]*gue.Job, len(events))
	for i, e := range events {
		jobs[i] = gueJob(e)
	}
	return g.client.EnqueueBatch(ctx, jobs)
}

func (g *gueQueue) Consume(ctx context.Context, deliver func([]byte)) error {
	work := gue.WorkMap{"event": func(_ context.Context, j *gue.Job) error {
		deliver(j.Args)
		return nil
	}}
	workers, err := gue.NewWorkerPool(g.client, work, 32, gue.WithPoolQueue(destination),
		gue.WithPoolPollInterval(5*time.Millisecond), gue.WithPoolPollStrategy(gue.RunAtPollStrategy),
		gue.WithPoolGracefulShutdown(nil))
	if err != nil {
		return err
	}
	return workers.Run(ctx)
}

func (g *gueQueue) Left(ctx context.Context) (int64, error) {
	return g.count(ctx, `SELECT count(*) FROM gue_jobs`)
}
