package server

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/go-sql-driver/mysql"
)

// DefaultMariaDB is where MariaDB is looked for.
const DefaultMariaDB = "root@tcp(127.0.0.1:3306)/test"

// installMariaDB is what to do where there is none.
const installMariaDB = "install it (apt-get install mariadb-server), or set DOVETAIL_MYSQL_DSN to one whose user may create databases"

// mariadb is a MariaDB or MySQL server, through its maintenance connections.
type mariadb struct {
	db     *sql.DB
	config *mysql.Config
	about  string
	pid    int // 0 if it is not to be seen
}

// OpenMariaDB connects to the server at dsn. Its error wraps ErrAbsent when nobody
// answers there.
func OpenMariaDB(ctx context.Context, dsn string) (Server, error) {
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, fmt.Errorf("mariadb: %w", err)
	}
	// One round trip for a statement with parameters, instead of two.
	config.InterpolateParams, config.ParseTime = true, true
	db, err := sql.Open("mysql", config.FormatDSN())
	if err != nil {
		return nil, fmt.Errorf("mariadb: %w", err)
	}
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: MariaDB does not answer: %s: %w", ErrAbsent, installMariaDB, err), db.Close())
	}
	s := &mariadb{db: db, config: config}
	if err := s.look(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("mariadb: %w", err), db.Close())
	}
	return s, nil
}

// look reads what the tables say of the server.
func (s *mariadb) look(ctx context.Context) error {
	var version, flush, binlog, isolation, pool string
	err := s.db.QueryRowContext(ctx, `
SELECT version(), @@innodb_flush_log_at_trx_commit, @@log_bin, @@transaction_isolation, @@innodb_buffer_pool_size`).
		Scan(&version, &flush, &binlog, &isolation, &pool)
	if err != nil {
		// MariaDB before 11.1 has another name for the isolation.
		err = s.db.QueryRowContext(ctx, `
SELECT version(), @@innodb_flush_log_at_trx_commit, @@log_bin, @@tx_isolation, @@innodb_buffer_pool_size`).
			Scan(&version, &flush, &binlog, &isolation, &pool)
	}
	if err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	s.about = fmt.Sprintf("%s, innodb_flush_log_at_trx_commit=%s, log_bin=%s, %s, innodb_buffer_pool_size=%s", version, flush, binlog, isolation, pool)
	list, err := processes()
	if err != nil {
		return err
	}
	for _, p := range list {
		if p.name == "mariadbd" || p.name == "mysqld" {
			if s.pid != 0 { // which of them, nobody says
				s.pid = 0
				break
			}
			s.pid = p.pid
		}
	}
	if s.pid == 0 {
		s.about += "; its CPU cannot be read, so only this process is counted"
	}
	return nil
}

func (s *mariadb) Name() string  { return "mariadb" }
func (s *mariadb) About() string { return s.about }

func (s *mariadb) CPU() (float64, error) {
	if s.pid == 0 {
		return 0, nil
	}
	return familyCPU(s.pid)
}

func (s *mariadb) Close() error { return s.db.Close() }

func (s *mariadb) Create(ctx context.Context) (Database, error) {
	name := newName()
	if _, err := s.db.ExecContext(ctx, "CREATE DATABASE "+name+" CHARACTER SET utf8mb4"); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	config := s.config.Clone()
	config.DBName = name
	d := &mariadbDatabase{server: s, name: name, dsn: config.FormatDSN()}
	db, err := sql.Open("mysql", d.dsn)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), d.Drop(ctx))
	}
	d.db = db
	_, err = db.ExecContext(ctx, `
CREATE TABLE business (
  id       bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
  customer bigint NOT NULL,
  amount   bigint NOT NULL,
  note     varchar(200) NOT NULL
)`)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), d.Drop(ctx))
	}
	return d, nil
}

// mariadbDatabase is one database of the server.
type mariadbDatabase struct {
	server    *mariadb
	db        *sql.DB
	name, dsn string
}

func (d *mariadbDatabase) DSN() string { return d.dsn }

// Checkpoint does nothing: InnoDB writes its pages all the time.
func (d *mariadbDatabase) Checkpoint(context.Context) error { return nil }

// Analyze does nothing: InnoDB looks at its tables by itself, and a drained table
// has one index.
func (d *mariadbDatabase) Analyze(context.Context) error { return nil }

// Log counts what the whole server writes: run nothing else on it.
func (d *mariadbDatabase) Log(ctx context.Context) (int64, error) {
	var name string
	var bytes int64
	err := d.db.QueryRowContext(ctx, "SHOW GLOBAL STATUS LIKE 'Innodb_os_log_written'").Scan(&name, &bytes)
	return bytes, err
}

func (d *mariadbDatabase) Pin(ctx context.Context) (func() error, error) {
	conn, err := d.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	const old = `INSERT INTO business (customer, amount, note) VALUES (0, 0, 'old')`
	for _, q := range []string{"START TRANSACTION WITH CONSISTENT SNAPSHOT", old} {
		if _, err := conn.ExecContext(ctx, q); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return func() error {
		_, err := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		return errors.Join(err, conn.Close())
	}, nil
}

func (d *mariadbDatabase) Drop(ctx context.Context) error {
	_, err := d.server.db.ExecContext(ctx, "DROP DATABASE IF EXISTS "+d.name)
	if d.db != nil {
		err = errors.Join(err, d.db.Close())
	}
	if err != nil {
		return fmt.Errorf("drop %s: %w", d.name, err)
	}
	return nil
}
