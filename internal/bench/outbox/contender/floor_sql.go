package contender

import (
	"context"
	"database/sql"
	"strconv"
	"strings"

	"github.com/tectari/dovetail/internal/bench/outbox/harness"
)

// floors are the same work by hand.
func floors() []harness.Contender {
	floor := func(database, settings string, open func(context.Context, string) (harness.System, error)) harness.Contender {
		return harness.Contender{
			Name: "floor", Role: harness.Floor, Database: database, Usual: harness.Callers, Ordered: true,
			Version: "by hand, one table, one index", Settings: settings, Open: open,
		}
	}
	pg := floor("postgres", "reads 1,000 and deletes 1,000 on one pgx connection, woken in the process; end to end the event travels with COMMIT, "+
		"in an owned transaction BEGIN with the first statement too, a single statement and its event in one round trip; bulk by COPY", openFloorPostgres)
	pg.Usual = harness.Ending
	return []harness.Contender{
		pg,
		floor("mariadb", "reads 1,000 and deletes 1,000 on one connection, woken in the process", openFloorMariaDB),
		floor("sqlite", "reads 1,000 and deletes 1,000, one connection for writers, one for the reader, woken in the process", openFloorSQLite),
	}
}

// floorSQL is the floor on MariaDB and SQLite.
type floorSQL struct {
	writers, reader *sql.DB
	table           string
	// remove returns the statement that deletes what was read, in order of id.
	remove func(ids []int64) string
	hint   chan struct{}
}

func openFloorMariaDB(ctx context.Context, dsn string) (harness.System, error) {
	writers, err := openSQL("mysql", dsn)
	if err != nil {
		return nil, err
	}
	reader, err := sql.Open("mysql", dsn)
	if err != nil {
		return nil, err
	}
	reader.SetMaxOpenConns(1)
	// MariaDB turns a list of 1,000 into a temporary table; MySQL has no such
	// setting and needs none.
	if v := ""; reader.QueryRowContext(ctx, "SELECT version()").Scan(&v) == nil && strings.Contains(v, "MariaDB") {
		if _, err := reader.ExecContext(ctx, "SET SESSION in_predicate_conversion_threshold = 0"); err != nil {
			return nil, err
		}
	}
	return &floorSQL{
		writers: writers, reader: reader, hint: make(chan struct{}, 1),
		table: `
CREATE TABLE outbox (
  id      bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
  topic   varchar(200) NOT NULL,
  ` + "`key`" + `   varchar(200) NOT NULL,
  payload longblob NOT NULL
)`,
		remove: func(ids []int64) string {
			var q strings.Builder
			q.WriteString("DELETE FROM outbox WHERE id IN (")
			for i, id := range ids {
				if i > 0 {
					q.WriteByte(',')
				}
				q.WriteString(strconv.FormatInt(id, 10))
			}
			q.WriteByte(')')
			return q.String()
		},
	}, nil
}

func openFloorSQLite(_ context.Context, dsn string) (harness.System, error) {
	writers, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	reader, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	writers.SetMaxOpenConns(1) // writers that wait here, and not for a lock, are not starved
	reader.SetMaxOpenConns(1)
	return &floorSQL{
		writers: writers, reader: reader, hint: make(chan struct{}, 1),
		table: `
CREATE TABLE outbox (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  topic   TEXT NOT NULL,
  key     TEXT NOT NULL,
  payload BLOB NOT NULL
) STRICT`,
		// Nothing in between can appear later: SQLite has one writer at a time.
		remove: func(ids []int64) string {
			return "DELETE FROM outbox WHERE id BETWEEN " + strconv.FormatInt(ids[0], 10) + " AND " + strconv.FormatInt(ids[len(ids)-1], 10)
		},
	}, nil
}

func (f *floorSQL) Setup(ctx context.Context, _ bool) error {
	_, err := f.writers.ExecContext(ctx, f.table)
	return err
}

// eventQuestion stores an event. key is a word of MariaDB's own.
const eventQuestion = "INSERT INTO outbox (topic, `key`, payload) VALUES (?, ?, ?)"

func (f *floorSQL) Writer(how harness.Transaction) (harness.Write, error) {
	if how != harness.Callers && how != harness.Owned {
		return nil, harness.ErrUnable
	}
	return func(ctx context.Context, e harness.Event) error {
		err := inTx(ctx, f.writers, businessQuestion, e, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, eventQuestion, destination, e.Key, e.Body)
			return err
		})
		if err != nil {
			return err
		}
		select {
		case f.hint <- struct{}{}:
		default: // it will look anyway
		}
		return nil
	}, nil
}

func (f *floorSQL) Bulk(ctx context.Context, events []harness.Event) error {
	args := make([]any, 0, 3*len(events))
	for _, e := range events {
		args = append(args, destination, e.Key, e.Body)
	}
	_, err := f.writers.ExecContext(ctx, eventQuestion+strings.Repeat(", (?, ?, ?)", len(events)-1), args...)
	return err
}

func (f *floorSQL) Consume(ctx context.Context, deliver func([]byte)) error {
	live := context.WithoutCancel(ctx) // what was begun is ended
	for ctx.Err() == nil {
		ids, err := f.read(live, deliver)
		if err != nil {
			return err
		}
		if len(ids) > 0 {
			if _, err := f.reader.ExecContext(live, f.remove(ids)); err != nil {
				return err
			}
			continue
		}
		idle(ctx, f.hint)
	}
	return nil
}

// read delivers the first events and returns their ids.
func (f *floorSQL) read(ctx context.Context, deliver func([]byte)) ([]int64, error) {
	rows, err := f.reader.QueryContext(ctx, `SELECT id, payload FROM outbox WHERE id > 0 ORDER BY id LIMIT 1000`)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err says what went wrong
	ids := make([]int64, 0, batch)
	var body sql.RawBytes
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id, &body); err != nil {
			return nil, err
		}
		ids = append(ids, id)
		deliver(body)
	}
	return ids, rows.Err()
}

func (f *floorSQL) Left(ctx context.Context) (int64, error) {
	return counted(ctx, f.reader, `SELECT count(*) FROM outbox`)
}

func (f *floorSQL) Close() error {
	if err := f.reader.Close(); err != nil {
		return err
	}
	return f.writers.Close()
}
