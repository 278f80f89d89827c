package server

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver
)

// pragmas but for synchronous are what every contender's connections are opened with: what the
// documentation of sqlstore advises, as durable as the other two servers.
const pragmas = "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_txlock=immediate&_pragma=synchronous"

// sqlite is a directory of SQLite files.
type sqlite struct {
	dir, about  string
	synchronous string // FULL or OFF
}

// OpenSQLite returns a server whose databases are files below dir, or below the
// directory for temporary files if dir is empty. With hurry, commits do not wait
// for the disk.
func OpenSQLite(ctx context.Context, dir string, hurry bool) (Server, error) {
	dir, err := os.MkdirTemp(dir, "dovetail-bench-")
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	defer func() { _ = db.Close() }() // it holds nothing
	var version string
	if err := db.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version); err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	s := &sqlite{dir: dir, synchronous: "FULL"}
	if hurry {
		s.synchronous = "OFF"
	}
	s.about = "SQLite " + version + " (modernc.org/sqlite), WAL, synchronous=" + s.synchronous
	return s, nil
}

func (s *sqlite) Name() string  { return "sqlite" }
func (s *sqlite) About() string { return s.about }

// CPU is 0: SQLite runs in this process.
func (s *sqlite) CPU() (float64, error) { return 0, nil }

func (s *sqlite) Close() error { return os.RemoveAll(s.dir) }

func (s *sqlite) Create(ctx context.Context) (Database, error) {
	name := newName()
	d := &sqliteDatabase{path: filepath.Join(s.dir, name+".db"), synchronous: s.synchronous}
	db, err := sql.Open("sqlite", d.DSN())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	d.db = db
	_, err = db.ExecContext(ctx, `
CREATE TABLE business (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  customer INTEGER NOT NULL,
  amount   INTEGER NOT NULL,
  note     TEXT    NOT NULL
) STRICT`)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), d.Drop(ctx))
	}
	return d, nil
}

// sqliteDatabase is one file.
type sqliteDatabase struct {
	db          *sql.DB
	path        string
	synchronous string
}

func (d *sqliteDatabase) DSN() string { return "file:" + d.path + pragmas + "(" + d.synchronous + ")" }

func (d *sqliteDatabase) Checkpoint(ctx context.Context) error {
	_, err := d.db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	return err
}

func (d *sqliteDatabase) Analyze(ctx context.Context) error {
	_, err := d.db.ExecContext(ctx, "ANALYZE")
	return err
}

// Log is not counted anywhere in SQLite.
func (d *sqliteDatabase) Log(context.Context) (int64, error) { return 0, errors.ErrUnsupported }

// Pin opens a reader: a writer would stop all others, whoever they are.
func (d *sqliteDatabase) Pin(ctx context.Context) (func() error, error) {
	conn, err := d.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	for _, q := range []string{"BEGIN DEFERRED", "SELECT count(*) FROM business"} {
		if _, err := conn.ExecContext(ctx, q); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return func() error {
		_, err := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		return errors.Join(err, conn.Close())
	}, nil
}

func (d *sqliteDatabase) Drop(context.Context) error {
	err := d.db.Close()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if e := os.Remove(d.path + suffix); e != nil && !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}
