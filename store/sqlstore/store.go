package sqlstore

import (
	"context"
	"database/sql"
	"errors"
)

// A Dialect is how one kind of database is spoken to: its statements and its
// limits, as data: SQLite, Postgres or MySQL. The zero Dialect is refused by
// Migrate, Verify and every operation.
type Dialect struct {
	// Name is what the dialect is called in errors: "sqlite".
	Name string

	base   baseSQL
	outbox outboxSQL
	ledger ledgerSQL
	sync   syncSQL
	alert  alertSQL
}

// baseSQL is what the store itself needs of a dialect.
type baseSQL struct {
	// migrations is the folder of migrations/ that belongs to the dialect.
	migrations string
	// oneWriter: the database admits one write transaction at a time, so the
	// writers of one process queue up in the process.
	oneWriter bool
	// prepare: statements are prepared once and kept. Not where a pooler may hand
	// the next statement to another server connection.
	prepare bool
	// alone: a single statement outside of a transaction is one of its own.
	alone bool
	// foreignTx: messages may be stored in transactions of other libraries.
	foreignTx bool
	// positional: the driver takes ? alone, so statements that name an argument
	// twice are written with ?1 and laid out for it.
	positional bool
	// isolation is that of write transactions.
	isolation sql.IsolationLevel
	// busy reports that the transaction may simply be repeated.
	busy func(error) bool
	// bind returns "?, ?, ?" for n parameters that begin at the first.
	placeholders func(first, n int) string

	// savepoint, rollbackTo and release bound one caller's share of a transaction.
	savepoint, rollbackTo, release string

	createMigrations string
	listMigrations   string
	recordMigration  string
	// apply runs and records one migration. Nil: in one transaction, where the
	// database takes changes of its tables back.
	apply func(ctx context.Context, s *Store, m migration) error
	// settings lists what Verify reads from the database and what it accepts.
	settings []setting
}

// A setting is one thing Verify asks the database about itself.
type setting struct {
	name  string
	query string
	ok    func(value string) bool
	fix   string
}

// SQLite is the dialect of SQLite 3.42 or later.
var SQLite = Dialect{
	Name:   "sqlite",
	base:   sqliteBase,
	outbox: sqliteOutbox,
	ledger: sqliteLedger,
	sync:   sqliteSync,
	alert:  sqliteAlert,
}

// Postgres is the dialect of PostgreSQL 13 or later, with any driver for
// database/sql. It prepares nothing itself and keeps no session state, so it works
// behind a pooler in transaction mode, provided that the driver does.
var Postgres = Dialect{
	Name:   "postgres",
	base:   postgresBase,
	outbox: postgresOutbox,
	ledger: postgresLedger,
	alert:  postgresAlert,
}

// ErrNoDialect is returned where a Store was made with the zero Dialect.
var ErrNoDialect = errors.New("sqlstore: no dialect; write sqlstore.New(db, sqlstore.SQLite)")

// ErrNoPart is returned for a part of the library whose state the dialect does not
// keep. SQLite keeps all of them; Postgres and MySQL keep the queue, the ledger and
// the problems of the alerts.
var ErrNoPart = errors.New("sqlstore: this dialect does not keep the state of this part; use SQLite for it")

// ErrNoDB is returned where a Store was made without a database.
var ErrNoDB = errors.New("sqlstore: no database; the *sql.DB is nil")

// A Store keeps Dovetail's state in one SQL database. Make one with New; the
// zero value is refused with ErrNoDB. It is safe for concurrent use, by any
// number of processes.
type Store struct {
	db      *sql.DB
	dialect Dialect
	// group is where the writers of this process meet when the dialect admits
	// only one at a time.
	group group

	statements statements
}

// New returns a store on db, which speaks d. It does no I/O: call Migrate to make
// the tables and Verify to check them. The caller keeps db and closes it.
func New(db *sql.DB, d Dialect) *Store {
	return &Store{db: db, dialect: d}
}

// DB returns the database, for the caller's own transactions.
func (s *Store) DB() *sql.DB { return s.db }

// ready returns why the store cannot be used, or nil.
func (s *Store) ready() error {
	switch {
	case s == nil || s.db == nil:
		return ErrNoDB
	case s.dialect.Name == "":
		return ErrNoDialect
	}
	return nil
}
