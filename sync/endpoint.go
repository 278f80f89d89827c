package sync

import (
	"context"
	"time"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/idempotency"
)

// An Observation is what a system shows of one record.
type Observation[T any] struct {
	// ID is the record's ID in that system. Required.
	ID string
	// Version is that system's version of the record (an ETag, a SyncToken), if
	// it has one. Equal versions mean equal records.
	Version string
	// Key is our key, where the system stores it for us (an external ID, a
	// reference field). Empty where it does not, or holds somebody else's text.
	Key string
	// Record is what the system shows. Fields that this system does not hold, as
	// said by System.Fields, are ignored.
	Record T
	// Absent names fields that this observation says nothing about.
	Absent []string
	// At is when the system says the record changed, by its own clock; By who
	// changed it. Both may be zero.
	At time.Time
	By string
	// Deleted marks a tombstone: the system says that the record is gone.
	Deleted bool
	// Err says that the record is there but cannot be read: an amount that is no
	// number, a body that is no JSON. It stops alone; the page and its cursor go on.
	// It is read again by its ID, and if that fails too it waits in the dead letters
	// with the reason until a person replays it or the system shows a newer one.
	// Record is then ignored. Defaults to nil.
	Err error
}

// A Page is a part of a listing or of a feed of changes.
type Page[T any] struct {
	Records []Observation[T]
	// Next is the cursor to go on from; it is stored once the page is durable.
	Next string
	// More says that the next page can be read at once.
	More bool
}

// An Endpoint is our code's side of one system for one record type. Get is the
// core; what else it can do it says by implementing Changer, Lister, Creator,
// Upserter, Updater, Deleter, Finder and Normalizer. Methods are called
// concurrently. Errors should be classified (dovetail.Error, or package retry);
// an unclassified error of a write is taken to be in doubt.
type Endpoint[T any] interface {
	// Get reads one record as it is now, not from a search index or a cache. An
	// error of class NotFound means that the record does not exist.
	Get(ctx context.Context, id string) (Observation[T], error)
}

// A Changer tells what changed since a cursor. The empty cursor asks for
// everything from the beginning, so it serves the first backfill too. Pages may
// overlap: what was seen already costs nothing. The cursor should lag the
// system's own settle time (late commits, index lag).
type Changer[T any] interface {
	Changes(ctx context.Context, cursor string) (Page[T], error)
}

// A Lister lists every record, in byte order of ID, for reconciling and audits.
type Lister[T any] interface {
	List(ctx context.Context, cursor string) (Page[T], error)
}

// A Create asks for a new record.
type Create[T any] struct {
	// Key is our key of the record; store it at the system if it has a place.
	Key string
	// IdempotencyKey is the same for every attempt. Send it where the API
	// honours one.
	IdempotencyKey string
	// Record holds the values; Fields names those that are set.
	Record T
	Fields []string
}

// A Creator creates a record and returns what the system shows of it. An
// observation with an ID alone is allowed; the record is then read.
type Creator[T any] interface {
	Create(ctx context.Context, c Create[T]) (Observation[T], error)
}

// An Upserter creates or updates by our key, natively and atomically (class A).
type Upserter[T any] interface {
	Upsert(ctx context.Context, c Create[T]) (o Observation[T], created bool, err error)
}

// An Update asks for a change of some fields.
type Update[T any] struct {
	ID string
	// Version is the version the change was computed from; send it as If-Match
	// where the API has conditional writes. A refusal is an error of class
	// Conflict.
	Version string
	// Record holds the new values of the fields that Fields names, and nothing
	// else that may be written.
	Record T
	Fields []string
	// Null names those of Fields that are to be emptied.
	Null []string
}

// An Updater changes a record and returns what the system shows of it
// afterwards. An observation with an ID alone is allowed; the record is then
// read.
type Updater[T any] interface {
	Update(ctx context.Context, u Update[T]) (Observation[T], error)
}

// A Deleter deletes a record. An error of class NotFound means that it was gone
// already.
type Deleter interface {
	Delete(ctx context.Context, id string, version string) error
}

// A Query asks for records: those that carry our key, or, where Field is given,
// those whose match field has Value.
type Query[T any] struct {
	// Key is our key, as Create.Key had it.
	Key   string
	Field string
	Value string
	// Record is what we hold of the record, for a system that does not store our
	// key: search by whatever identifies it there, an order number for example.
	Record T
}

// A Finder searches. At most a few records are needed: two are already too many.
type Finder[T any] interface {
	Find(ctx context.Context, q Query[T]) ([]Observation[T], error)
}

// A Normalizer says how a system rewrites what it is given: trimming, rounding,
// upper case. With it, a value in the system's own spelling is known for ours.
type Normalizer interface {
	Normalize(field string, v dovetail.Value) dovetail.Value
}

// Capabilities are what a system's API is known to do, as its vendor documents
// it. The zero value of each is the safe assumption.
type Capabilities struct {
	// KeyWindow is how long the API remembers an idempotency key. Zero: it takes
	// none.
	KeyWindow time.Duration
	// FindLag is how long after a write Find may still miss it.
	FindLag time.Duration
	// RequestLife is how long a request that was given up on may still be
	// carried out. Defaults to one minute.
	RequestLife time.Duration
	// ConditionalWrite: Update refuses when the version moved.
	ConditionalWrite bool
	// FullReplace: Update replaces the whole record, there is no partial update.
	FullReplace bool
	// AbsentMeansNull: a field left out of Update is emptied.
	AbsentMeansNull bool
	// StoresKey: the system keeps Create.Key and shows it as Observation.Key, so
	// a record that shows none was not made by us.
	StoresKey bool
	// OnDoubt says what becomes of a create whose reply was lost, for a system
	// that can neither deduplicate nor be searched: wait for a person
	// (idempotency.Park), or send it again and accept duplicates
	// (idempotency.MayRepeat). Required for such a system.
	OnDoubt idempotency.OnDoubt
}
