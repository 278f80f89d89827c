// Package sqlstore keeps the state of every part of Dovetail in the caller's own
// SQL database, over database/sql: the queue, the ledger of side effects, the
// sync state and the problems, in one schema, so that a change of state and the
// message it causes commit together.
//
// The package imports no driver. The caller opens the *sql.DB and says which
// [Dialect] it speaks.
//
// For SQLite open the database with modernc.org/sqlite like this, and for other
// drivers with what says the same there:
//
//	file:PATH?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate
//
// busy_timeout lets writers wait for each other, WAL lets readers pass a writer,
// synchronous FULL makes a commit survive a loss of power, and _txlock=immediate
// takes the write lock at BEGIN, where waiting for it works.
//
// For Postgres 13 or later any driver does; nothing is prepared and no session
// state is kept, so a pooler in transaction mode may stand between. For MySQL 8 and
// MariaDB 10.6 or later open it with github.com/go-sql-driver/mysql like this;
// interpolateParams spares a round trip for each statement:
//
//	USER:PASSWORD@tcp(HOST:3306)/DATABASE?interpolateParams=true
//
// On both, the dialect keeps the queue, what Once remembers, and the problems of
// the alerts. The tables can also be made by other tools: the files in migrations/
// are plain SQL, numbered, for each dialect.
//
// # Guarantees
//
// The schema is changed by [Store.Migrate] only. [Store.Verify] refuses a schema
// older than this code needs and settings that void a promise, by name. A write
// transaction of the store happens as a whole or not at all, and is repeated when
// the database says busy. Every time that decides between processes is the
// database's clock. Tables carry the prefix dovetail_ and belong to this package:
// no other program should write them.
//
// Not promised: that a commit survives what the database itself does not survive.
package sqlstore
