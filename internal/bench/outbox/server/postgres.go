package server

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// DefaultPostgres is where Postgres is looked for.
const DefaultPostgres = "postgres://postgres@127.0.0.1:5432/test?sslmode=disable"

// installPostgres is what to do where there is none.
const installPostgres = "install it (apt-get install postgresql), or set DOVETAIL_POSTGRES_URL to one whose user may create databases"

// postgres is a Postgres server, through its maintenance connection.
type postgres struct {
	conn  *pgx.Conn
	base  *url.URL
	about string
	// The database of this run, and the connection that looks after it.
	own       *pgx.Conn
	name, dsn string
	hurry     bool

	boss int // the process whose children serve the connections; 0 if it is not to be seen
}

// OpenPostgres connects to the server at dsn. With hurry, commits in its databases
// do not wait for the disk. Its error wraps ErrAbsent when nobody answers there.
func OpenPostgres(ctx context.Context, dsn string, hurry bool) (Server, error) {
	base, err := url.Parse(dsn)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, fmt.Errorf("%w: Postgres does not answer: %s: %w", ErrAbsent, installPostgres, err)
	}
	s := &postgres{conn: conn, base: base, hurry: hurry}
	if err := s.look(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("postgres: %w", err), conn.Close(ctx))
	}
	return s, nil
}

// look reads what the tables say of the server.
func (s *postgres) look(ctx context.Context) error {
	var version, commit, sync, pages, buffers string
	err := s.conn.QueryRow(ctx, `
SELECT current_setting('server_version'), current_setting('synchronous_commit'), current_setting('fsync'),
       current_setting('full_page_writes'), current_setting('shared_buffers')`).Scan(&version, &commit, &sync, &pages, &buffers)
	if err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	s.about = fmt.Sprintf("PostgreSQL %s, synchronous_commit=%s, fsync=%s, full_page_writes=%s, shared_buffers=%s",
		strings.Fields(version)[0], commit, sync, pages, buffers)
	if s.hurry {
		s.about += " (but synchronous_commit=off in this run)"
	}
	// A process of that number here need not be it: the server may be elsewhere.
	p, err := readProcess(strconv.Itoa(int(s.conn.PgConn().PID())))
	if err == nil && strings.HasPrefix(p.name, "postgres") {
		s.boss = p.parent
	} else {
		s.about += "; its CPU cannot be read, so only this process is counted"
	}
	return nil
}

func (s *postgres) Name() string  { return "postgres" }
func (s *postgres) About() string { return s.about }

func (s *postgres) CPU() (float64, error) {
	if s.boss == 0 {
		return 0, nil
	}
	return familyCPU(s.boss)
}

// Close drops the database.
func (s *postgres) Close() error {
	ctx := context.Background()
	var err error
	if s.own != nil {
		err = s.own.Close(ctx)
		// FORCE: what a peer leaves connected must not keep the database.
		_, e := s.conn.Exec(ctx, "DROP DATABASE IF EXISTS "+s.name+" WITH (FORCE)")
		err = errors.Join(err, e)
	}
	return errors.Join(err, s.conn.Close(ctx))
}

// Create returns the one database of this run, empty: to drop one for each
// measurement would cost a checkpoint each time.
func (s *postgres) Create(ctx context.Context) (Database, error) {
	if s.own == nil {
		if err := s.make(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	d := &postgresDatabase{conn: s.own, name: s.name, dsn: s.dsn}
	if err := d.Drop(ctx); err != nil {
		return nil, err
	}
	_, err := s.own.Exec(ctx, `
CREATE TABLE business (
  id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  customer bigint NOT NULL,
  amount   bigint NOT NULL,
  note     text   NOT NULL
)`)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	return d, nil
}

// make makes the database.
func (s *postgres) make(ctx context.Context) error {
	s.name = newName()
	if _, err := s.conn.Exec(ctx, "CREATE DATABASE "+s.name); err != nil {
		return err
	}
	if s.hurry {
		if _, err := s.conn.Exec(ctx, "ALTER DATABASE "+s.name+" SET synchronous_commit = off"); err != nil {
			return err
		}
	}
	dsn := *s.base
	dsn.Path = "/" + s.name
	s.dsn = dsn.String()
	var err error
	s.own, err = pgx.Connect(ctx, s.dsn)
	return err
}

// postgresDatabase is the database, as one measurement sees it.
type postgresDatabase struct {
	conn      *pgx.Conn
	name, dsn string
}

func (d *postgresDatabase) DSN() string { return d.dsn }

func (d *postgresDatabase) Checkpoint(ctx context.Context) error {
	_, err := d.conn.Exec(ctx, "CHECKPOINT")
	return err
}

func (d *postgresDatabase) Analyze(ctx context.Context) error {
	_, err := d.conn.Exec(ctx, "ANALYZE")
	return err
}

// Log counts what the whole server writes: run nothing else on it.
func (d *postgresDatabase) Log(ctx context.Context) (int64, error) {
	var bytes int64
	err := d.conn.QueryRow(ctx, "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").Scan(&bytes)
	return bytes, err
}

func (d *postgresDatabase) Pin(ctx context.Context) (func() error, error) {
	conn, err := pgx.Connect(ctx, d.dsn)
	if err != nil {
		return nil, err
	}
	const old = `INSERT INTO business (customer, amount, note) VALUES (0, 0, 'old')`
	for _, q := range []string{"BEGIN ISOLATION LEVEL REPEATABLE READ", old} {
		if _, err := conn.Exec(ctx, q); err != nil {
			return nil, errors.Join(err, conn.Close(ctx))
		}
	}
	return func() error { return conn.Close(context.WithoutCancel(ctx)) }, nil
}

// Drop leaves the database empty, and nobody else connected to it.
func (d *postgresDatabase) Drop(ctx context.Context) error {
	_, err := d.conn.Exec(ctx, `
SELECT pg_terminate_backend(pid) FROM pg_stat_activity 
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()`)
	if err != nil {
		return fmt.Errorf("empty %s: %w", d.name, err)
	}
	rows, err := d.conn.Query(ctx, `SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\_%' AND nspname <> 'information_schema'`)
	if err != nil {
		return fmt.Errorf("empty %s: %w", d.name, err)
	}
	schemas, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("empty %s: %w", d.name, err)
	}
	for _, name := range schemas {
		if _, err := d.conn.Exec(ctx, "DROP SCHEMA "+pgx.Identifier{name}.Sanitize()+" CASCADE"); err != nil {
			return fmt.Errorf("empty %s: %w", d.name, err)
		}
	}
	if _, err := d.conn.Exec(ctx, "CREATE SCHEMA public"); err != nil {
		return fmt.Errorf("empty %s: %w", d.name, err)
	}
	return nil
}
