// Package server is what both foreign systems of the example stand on: a
// SQLite file, counters that survive, a listener that can go down, and the
// manners of a JSON API.
package server

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"sync"

	_ "modernc.org/sqlite" // the driver
)

const baseSchema = `
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS done (seq INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS edits (
	seq INTEGER NOT NULL, field TEXT NOT NULL, at INTEGER NOT NULL, person TEXT NOT NULL,
	record TEXT NOT NULL, was TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (seq, field)) WITHOUT ROWID;
`

// Database is a system's own SQLite file. It may be used by many goroutines:
// there is one connection, so transactions take turns.
type Database struct {
	*sql.DB

	mu       sync.Mutex
	counters map[string]int64
	changed  map[string]bool
}

// OpenDatabase opens the file at path, or creates it, with the given schema
// (idempotent statements) added to the tables that every system has.
func OpenDatabase(ctx context.Context, path, schema string) (*Database, error) {
	// WAL with synchronous=NORMAL keeps what was committed when the process is
	// killed. It may lose the last commits when the machine loses power.
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=busy_timeout(5000)&_txlock=immediate"
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	d := &Database{DB: db, counters: make(map[string]int64), changed: make(map[string]bool)}
	if _, err := db.ExecContext(ctx, baseSchema+schema); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: schema: %w", path, err), db.Close())
	}
	if err := d.loadCounters(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	return d, nil
}

// Tx runs fn in a transaction.
func (d *Database) Tx(ctx context.Context, fn func(*sql.Tx) error) error {
	tx, err := d.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// Meta returns the value kept under name, or "".
func (d *Database) Meta(ctx context.Context, name string) (string, error) {
	var value string
	err := d.QueryRowContext(ctx, `SELECT value FROM meta WHERE name = ?`, name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, err
}

// SetMeta keeps value under name.
func (d *Database) SetMeta(ctx context.Context, name, value string) error {
	_, err := d.ExecContext(ctx, `INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, value)
	return err
}

// Done returns the script's actions that this system has applied or given up.
func (d *Database) Done(ctx context.Context) (map[int64]bool, error) {
	rows, err := d.QueryContext(ctx, `SELECT seq FROM done`)
	if err != nil {
		return nil, fmt.Errorf("read applied actions: %w", err)
	}
	defer rows.Close()
	done := make(map[int64]bool)
	for rows.Next() {
		var seq int64
		if err := rows.Scan(&seq); err != nil {
			return nil, fmt.Errorf("read applied actions: %w", err)
		}
		done[seq] = true
	}
	return done, rows.Err()
}

// MarkDone writes the marker of an action. It belongs into the transaction
// that holds the action's effect: that is what makes it happen once.
func MarkDone(ctx context.Context, tx *sql.Tx, seq int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO done (seq) VALUES (?)`, seq)
	return err
}
