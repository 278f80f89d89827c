package sync

import (
	"time"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/conflict"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/ownership"
)

// Config is the rule sheet of one link: which systems, who owns what, what
// happens when they differ. T is the record type, a struct whose fields (by json
// name) are those of the record.
type Config[T any] struct {
	// Name is the link's name, stable for its life: "customers". Required.
	Name string
	// Systems are the parties, two or more. Required.
	Systems []System[T]
	// Fields says who owns each field of T. Every field needs a rule. Required.
	Fields ownership.Rules
	// Resolvers decide conflicts; one for each shared field, and for no other.
	Resolvers conflict.Fields
	// Exists says who creates and deletes records. Required.
	Exists ownership.Rule
	// Match names fields that identify a record where two systems already have
	// it, tried before anything is created: "email". A value that matches two
	// records is parked. Defaults to none.
	Match []string
	// References names fields of T that hold another record's ID, and the link
	// of that record. Each system shows its own ID there. Defaults to none.
	References map[string]*Link
	// Brakes stop a run that would change too much at once. Defaults to
	// DefaultBrakes.
	Brakes Brakes
	// Store keeps the state. It must be the store of Queue. Required.
	Store Store
	// Queue carries the writes; it keeps its rows in the same database as Store.
	// Required.
	Queue *outbox.Queue
	// Alerts tells a person. Required.
	Alerts *alert.Manager
	// Observer is told what happens. Defaults to failures on slog.Default.
	Observer dovetail.Observer
	// Lease is how long a create that was under way when a process died is left
	// alone before another takes it up. Defaults to 30 seconds.
	Lease time.Duration
	// Sweep is how often the store is searched for work that no message stands
	// for. Defaults to 10 minutes; it also runs at the start.
	Sweep time.Duration
}

// System is one party of a link.
type System[T any] struct {
	// Name is the system's name, stable for the life of the link. Required.
	Name dovetail.System
	// Endpoint reads and writes the records there. Required.
	Endpoint Endpoint[T]
	// Fields names the fields of T that this system holds; the others do not
	// travel there. Defaults to all.
	Fields []string
	// Can is what the system's API is documented to do. The zero value assumes
	// the least.
	Can Capabilities
	// Poll is how often Changes is read. Defaults to one minute; webhooks make
	// it a safety net, not a reason to leave it out.
	Poll time.Duration
	// SilentAfter raises an alert when the system has shown no change for so
	// long, restarts included; the time of an outage, in which it could not be
	// read, is not told as silence before the next read. Zero: the system may be
	// silent for ever.
	SilentAfter time.Duration
	// Attempts, Backoff, Timeout, StuckAfter and Concurrency shape the delivery
	// to this system, as in outbox.Destination, with its defaults.
	Attempts    int
	Backoff     outbox.Backoff
	Timeout     time.Duration
	StuckAfter  time.Duration
	ProbeEvery  time.Duration
	Concurrency int
}

// Brakes stop what looks like a mistake at the other end: an emptied list, a
// revoked permission that shows every field as empty. What a brake holds waits,
// with an alert, until Link.Approve. They count over a day, in the store, so
// neither a restart nor a mistake that comes slowly gets around them.
type Brakes struct {
	// Deletes is how many records may be deleted in a system within a day, done
	// and waiting together, before deleting stops, and DeleteShare the share of
	// the linked records; whichever is larger counts. As many may be missing from
	// a list before it is not believed; a list from which all are missing never
	// is. Default to 20 and 0.05.
	Deletes     int
	DeleteShare float64
	// NullRows is how many records may lose the same field in a system within a
	// day, and NullShare the share of the linked records; whichever is larger
	// counts. A page on which NullRows records and most of those that changed
	// have lost it is not taken at all. Default to 20 and 0.05.
	NullShare float64
	NullRows  int
	// Changes names fields that do not change in many records at once, each with
	// the share of the linked records in which it may within a day; NullRows
	// records may in any case. Defaults to none: nobody can guess it, since prices
	// change everywhere every night and VAT IDs never do.
	Changes map[string]float64
}

// DefaultBrakes are the brakes of a Config that states none.
var DefaultBrakes = Brakes{Deletes: 20, DeleteShare: 0.05, NullShare: 0.05, NullRows: 20}

func (b Brakes) withDefaults() Brakes {
	if b.Deletes == 0 {
		b.Deletes = DefaultBrakes.Deletes
	}
	if b.DeleteShare == 0 {
		b.DeleteShare = DefaultBrakes.DeleteShare
	}
	if b.NullShare == 0 {
		b.NullShare = DefaultBrakes.NullShare
	}
	if b.NullRows == 0 {
		b.NullRows = DefaultBrakes.NullRows
	}
	return b
}
