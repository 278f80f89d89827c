// Package harness measures queues that live in a database: the same work for each,
// in turns, every delivery counted, medians and ratios of one run.
package harness

import (
	"context"
	"errors"
)

// ErrUnable is returned by a System that has no such operation. The table shows
// a dash.
var ErrUnable = errors.New("harness: this system cannot do that")

// A System is a queue on a database of its own. It is used for one measurement
// and then closed.
type System interface {
	// Setup makes its tables. The database holds nothing but the table business.
	// keyed says that the order of each key's events matters.
	Setup(ctx context.Context, keyed bool) error
	// Writer returns a function that several goroutines call at once: it runs one
	// business transaction that also stores an event, and returns once both are
	// committed. It returns ErrUnable for a transaction it does not offer.
	Writer(how Transaction) (Write, error)
	// Bulk stores events in one transaction, which has nothing else in it.
	Bulk(ctx context.Context, events []Event) error
	// Consume delivers until ctx is done and all that was begun has ended. It
	// calls deliver with the body of each event, perhaps from several goroutines.
	Consume(ctx context.Context, deliver func(body []byte)) error
	// Left counts the events that are stored and not known as delivered.
	Left(ctx context.Context) (int64, error)
	// Close gives back what New has opened.
	Close() error
}

// A Write runs one business transaction that also stores e.
type Write func(ctx context.Context, e Event) error

// A Transaction says who writes BEGIN and COMMIT around an event.
type Transaction int

// The transactions.
const (
	// Callers: the caller writes BEGIN, the business statement, the event by the
	// queue's call, and COMMIT.
	Callers Transaction = iota
	// Ending: the caller writes BEGIN and the business statement; the event and
	// COMMIT go together.
	Ending
	// Owned: the queue runs the transaction, with the caller's statements in it.
	Owned
	// Single: the queue is given one business statement and an event.
	Single
)

// A Role says what a contender is there for.
type Role int

// The roles.
const (
	Ours Role = iota
	Peer
	// Floor: the same work by hand, without a library.
	Floor
	// Bare: the business transaction without any event.
	Bare
)

// A Contender is a System before it has a database.
type Contender struct {
	// Name is what the table calls it, and -systems selects.
	Name string
	Role Role
	// Database is the name of the server it runs on.
	Database string
	// Version and Settings are printed below the table.
	Version, Settings string
	// Usual is the transaction its documentation has people write.
	Usual Transaction
	// Ordered: it promises the order of a key's events, so a breach is a fault.
	Ordered bool
	// Backlog, if not zero, is the most it is given to drain at once, because
	// it needs minutes for more. The table says so.
	Backlog int64
	// Open returns the system on the database at dsn.
	Open func(ctx context.Context, dsn string) (System, error)
	// Absent, if not empty, is why it cannot run here.
	Absent string
}
