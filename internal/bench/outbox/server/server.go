// Package server makes databases that are used once, on Postgres, MariaDB and
// SQLite, and tells what they cost.
package server

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
)

// ErrAbsent is wrapped where no server answers. The error says what to install.
var ErrAbsent = errors.New("server: no server")

// A Server is where databases are made. It is not safe for concurrent use.
type Server interface {
	// Name is "postgres", "mariadb" or "sqlite".
	Name() string
	// About says what it is and how it is set up, for the head of a table.
	About() string
	// Create returns an empty database with a name of its own, and in it the table
	// business. The one before must have been dropped.
	Create(ctx context.Context) (Database, error)
	// CPU returns the seconds that the server has used so far; 0 where it cannot
	// be read, or the server is this process.
	CPU() (float64, error)
	// Close drops what is left.
	Close() error
}

// A Database is used for one measurement.
type Database interface {
	// DSN is what the drivers open it with.
	DSN() string
	// Checkpoint has the server do now what it would do later.
	Checkpoint(ctx context.Context) error
	// Analyze refreshes what the planner knows.
	Analyze(ctx context.Context) error
	// Log returns how many bytes of log the server has written so far, or
	// errors.ErrUnsupported.
	Log(ctx context.Context) (int64, error)
	// Pin opens a transaction that has written, and holds it until release.
	Pin(ctx context.Context) (release func() error, err error)
	// Drop removes the database.
	Drop(ctx context.Context) error
}

// newName returns a name for a database that nobody else has.
func newName() string { return "dovetail_bench_" + strings.ToLower(rand.Text()[:12]) }
