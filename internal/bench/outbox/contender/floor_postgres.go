package contender

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tectari/dovetail/internal/bench/outbox/harness"
)

// floorPostgres is what a careful person would write by hand on one table with one
// index, with one consumer, no order, no retries and no second process.
type floorPostgres struct {
	pool
	hint chan struct{}
}

func openFloorPostgres(ctx context.Context, dsn string) (harness.System, error) {
	p, err := openPool(ctx, dsn)
	return &floorPostgres{pool: p, hint: make(chan struct{}, 1)}, err
}

func (f *floorPostgres) Setup(ctx context.Context, _ bool) error {
	_, err := f.Exec(ctx, `
CREATE TABLE outbox (
  id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  topic   text  NOT NULL,
  key     text  NOT NULL,
  payload bytea NOT NULL
)`)
	return err
}

// eventPostgres stores an event.
const eventPostgres = `INSERT INTO outbox (topic, key, payload) VALUES ($1, $2, $3)`

func (f *floorPostgres) Writer(how harness.Transaction) (harness.Write, error) {
	var write harness.Write
	switch how {
	case harness.Callers:
		write = func(ctx context.Context, e harness.Event) error {
			return f.inTx(ctx, e, func(tx pgx.Tx) error {
				_, err := tx.Exec(ctx, eventPostgres, destination, e.Key, e.Body)
				return err
			})
		}
	case harness.Ending: // the event and COMMIT travel together
		write = func(ctx context.Context, e harness.Event) error {
			return f.trips(ctx, []string{"BEGIN"}, []string{businessPostgres}, []string{eventPostgres, "COMMIT"})(e)
		}
	case harness.Owned: // and so do BEGIN and the first statement
		write = func(ctx context.Context, e harness.Event) error {
			return f.trips(ctx, []string{"BEGIN", businessPostgres}, []string{eventPostgres, "COMMIT"})(e)
		}
	case harness.Single: // one round trip is a transaction of its own
		write = func(ctx context.Context, e harness.Event) error {
			return f.trips(ctx, []string{businessPostgres, eventPostgres})(e)
		}
	default:
		return nil, harness.ErrUnable
	}
	return func(ctx context.Context, e harness.Event) error {
		if err := write(ctx, e); err != nil {
			return err
		}
		select {
		case f.hint <- struct{}{}:
		default: // it will look anyway
		}
		return nil
	}, nil
}

// trips returns a function that runs statements on one connection, each list in
// one round trip.
func (f *floorPostgres) trips(ctx context.Context, lists ...[]string) func(harness.Event) error {
	return func(e harness.Event) error {
		conn, err := f.Acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release() // which closes it if it is still in a transaction
		for _, statements := range lists {
			var batch pgx.Batch
			for _, q := range statements {
				switch q {
				case businessPostgres:
					batch.Queue(q, business(e)...)
				case eventPostgres:
					batch.Queue(q, destination, e.Key, e.Body)
				default:
					batch.Queue(q)
				}
			}
			if err := conn.SendBatch(ctx, &batch).Close(); err != nil {
				return err
			}
		}
		return nil
	}
}

func (f *floorPostgres) Bulk(ctx context.Context, events []harness.Event) error {
	_, err := f.CopyFrom(ctx, pgx.Identifier{"outbox"}, []string{"topic", "key", "payload"},
		pgx.CopyFromSlice(len(events), func(i int) ([]any, error) {
			return []any{destination, events[i].Key, events[i].Body}, nil
		}))
	return err
}

// batch is how many events the floors read and delete at once.
const batch = 1000

func (f *floorPostgres) Consume(ctx context.Context, deliver func([]byte)) error {
	live := context.WithoutCancel(ctx) // what was begun is ended
	conn, err := f.Acquire(live)
	if err != nil {
		return err
	}
	defer conn.Release()
	ids := make([]int64, 0, batch)
	for ctx.Err() == nil {
		rows, err := conn.Query(live, `SELECT id, payload FROM outbox WHERE id > 0 ORDER BY id LIMIT $1`, batch)
		if err != nil {
			return err
		}
		ids = ids[:0]
		var id int64
		var body []byte
		_, err = pgx.ForEachRow(rows, []any{&id, &body}, func() error {
			ids = append(ids, id)
			deliver(body)
			return nil
		})
		if err != nil {
			return err
		}
		if len(ids) > 0 {
			if _, err := conn.Exec(live, `DELETE FROM outbox WHERE id = ANY($1)`, ids); err != nil {
				return err
			}
			continue
		}
		idle(ctx, f.hint)
	}
	return nil
}

// idle waits for a hint, for 5 milliseconds at most.
func idle(ctx context.Context, hint <-chan struct{}) {
	timer := time.NewTimer(5 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-hint:
	case <-ctx.Done():
	}
}

func (f *floorPostgres) Left(ctx context.Context) (int64, error) {
	return f.count(ctx, `SELECT count(*) FROM outbox`)
}
