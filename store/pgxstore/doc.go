// Package pgxstore is what Dovetail gains from pgx beyond database/sql: a [Bell]
// on Postgres's LISTEN and NOTIFY. It is a module of its own, so that the library
// names no driver.
//
// # Guarantees
//
// A bell never notifies within a transaction of the caller: that would make
// commits wait for each other. It listens on a connection of its own, beside the
// pool. Not promised: that a ring arrives. Behind a pooler in transaction mode it
// does not, and the queue says so once and polls.
package pgxstore
