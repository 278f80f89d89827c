package contender

import (
	"context"
	"database/sql"

	"github.com/tectari/dovetail/internal/bench/outbox/harness"
)

// The business statement, the same for everyone on a server.
const (
	businessPostgres = `INSERT INTO business (customer, amount, note) VALUES ($1, $2, $3)`
	businessQuestion = `INSERT INTO business (customer, amount, note) VALUES (?, ?, ?)`
)

// note is the 80 bytes of text of every row of business.
const note = "delivered to the back door between nine and eleven, ring twice, mind the dog !!!"

// business returns the arguments of the business statement of an event.
func business(e harness.Event) []any { return []any{e.N % harness.Keys, e.N, note} }

// connections is how many connections every contender may have: 32 writers, and
// some to read with.
const connections = 40

// openSQL opens a database with room for all writers.
func openSQL(driver, dsn string) (*sql.DB, error) {
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	// The default of 2 would make and close a connection for most transactions.
	db.SetMaxIdleConns(connections)
	return db, nil
}

// inTx writes a business transaction as everyone does: BEGIN, the business
// statement, the event, COMMIT.
func inTx(ctx context.Context, db *sql.DB, statement string, e harness.Event, enqueue func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, statement, business(e)...); err != nil {
		return err
	}
	if err := enqueue(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// counted runs a query for one number.
func counted(ctx context.Context, db *sql.DB, query string) (n int64, err error) {
	err = db.QueryRowContext(ctx, query).Scan(&n)
	return n, err
}
