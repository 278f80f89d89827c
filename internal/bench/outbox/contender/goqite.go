package contender

import (
	"context"
	"database/sql"
	"time"

	"maragu.dev/goqite"

	"github.com/tectari/dovetail/internal/bench/outbox/harness"
)

// goqites are goqite on SQLite.
func goqites() []harness.Contender {
	return []harness.Contender{{
		Name: "goqite", Role: harness.Peer, Database: "sqlite", Version: version("maragu.dev/goqite"), Open: openGoqite, Backlog: 15_000,
		Settings: "one connection, one consumer, poll 2 ms",
	}}
}

// goqiteTables is its schema_sqlite.sql.
const goqiteTables = `
CREATE TABLE goqite (
  id text primary key default ('m_' || lower(hex(randomblob(16)))),
  created text not null default (strftime('%Y-%m-%dT%H:%M:%fZ')),
  updated text not null default (strftime('%Y-%m-%dT%H:%M:%fZ')),
  queue text not null,
  body blob not null,
  timeout text not null default (strftime('%Y-%m-%dT%H:%M:%fZ')),
  received integer not null default 0,
  priority integer not null default 0
) strict;
CREATE TRIGGER goqite_updated_timestamp AFTER UPDATE ON goqite BEGIN
  UPDATE goqite SET updated = strftime('%Y-%m-%dT%H:%M:%fZ') WHERE id = old.id;
END;
CREATE INDEX goqite_queue_priority_created_idx ON goqite (queue, priority DESC, created)`

// goqiteQueue is goqite.
type goqiteQueue struct {
	db    *sql.DB
	queue *goqite.Queue
}

func openGoqite(_ context.Context, dsn string) (harness.System, error) {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return &goqiteQueue{db: db, queue: goqite.New(goqite.NewOpts{DB: db, Name: destination})}, nil
}

func (g *goqiteQueue) Setup(ctx context.Context, _ bool) error {
	_, err := g.db.ExecContext(ctx, goqiteTables)
	return err
}

func (g *goqiteQueue) Writer(how harness.Transaction) (harness.Write, error) {
	if how != harness.Callers {
		return nil, harness.ErrUnable
	}
	return func(ctx context.Context, e harness.Event) error {
		return inTx(ctx, g.db, businessQuestion, e, func(tx *sql.Tx) error {
			return g.queue.SendTx(ctx, tx, goqite.Message{Body: e.Body})
		})
	}, nil
}

// Bulk sends many in one transaction: there is no call for many.
func (g *goqiteQueue) Bulk(ctx context.Context, events []harness.Event) error {
	tx, err := g.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, e := range events {
		if err := g.queue.SendTx(ctx, tx, goqite.Message{Body: e.Body}); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (g *goqiteQueue) Consume(ctx context.Context, deliver func([]byte)) error {
	live := context.WithoutCancel(ctx) // what was begun is ended
	for ctx.Err() == nil {
		m, err := g.queue.Receive(live)
		if err != nil {
			return err
		}
		if m == nil {
			timer := time.NewTimer(2 * time.Millisecond)
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
			timer.Stop()
			continue
		}
		deliver(m.Body)
		if err := g.queue.Delete(live, m.ID); err != nil {
			return err
		}
	}
	return nil
}

func (g *goqiteQueue) Left(ctx context.Context) (int64, error) {
	return counted(ctx, g.db, `SELECT count(*) FROM goqite`)
}

func (g *goqiteQueue) Close() error { return g.db.Close() }
