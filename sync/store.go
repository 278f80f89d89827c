package sync

import (
	"context"
	"errors"
	"time"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
)

// ErrStale is returned by Tx.Write for a row whose Seq is not the stored one:
// somebody else wrote the record since it was loaded.
var ErrStale = errors.New("sync: record was changed by another writer")

// A Store keeps the state of links. Package store/sqlstore and store/memstore
// have one; dovetailtest.RunSyncStore is its contract. All methods are safe for
// concurrent use.
type Store interface {
	// UpdateRecords runs fn in one transaction of the database that also holds the
	// outbox, and commits when fn returns nil. Nothing of a failed fn remains.
	// It may run fn again when the database asks for a retry.
	UpdateRecords(ctx context.Context, fn func(tx Tx) error) error
	// LoadRecord reads one record, and false when there is none.
	LoadRecord(ctx context.Context, link, key string) (Row, bool, error)
	// RecordRefs returns what is known of the given remote IDs, in any order. IDs that
	// are not known are left out.
	RecordRefs(ctx context.Context, link string, system dovetail.System, ids []string) ([]Ref, error)
	// ScanRecords returns up to limit records after a key, in key order, that filter
	// selects.
	ScanRecords(ctx context.Context, link string, filter Filter, after string, limit int) ([]Row, error)
	// RecordRemotes returns up to limit linked remote IDs of a system after an ID, in
	// byte order.
	RecordRemotes(ctx context.Context, link string, system dovetail.System, after string, limit int) ([]Ref, error)
	// RecordHistory returns the newest entries about a record first. An empty field
	// selects all fields.
	RecordHistory(ctx context.Context, link, key, field string, limit int) ([]Entry, error)
	// CountRecords counts the records of a link.
	CountRecords(ctx context.Context, link string) (Counts, error)
}

// A Tx is what one transaction of a Store can do. It is used by one goroutine.
type Tx interface {
	// Outbox returns the transaction as the outbox knows it.
	Outbox() outbox.Tx
	// Load reads one record for writing, and false when there is none. A
	// concurrent transaction that loads it too waits, or fails at Write.
	Load(ctx context.Context, link, key string) (Row, bool, error)
	// Find returns the keys that a lookup leads to, at most limit of them, in
	// key order.
	Find(ctx context.Context, l Lookup, limit int) ([]string, error)
	// Meta reads a named value of the link, "" when it was never set.
	Meta(ctx context.Context, link, name string) (string, error)
	// Write stores everything in c. It returns ErrStale when a row's Seq moved.
	Write(ctx context.Context, c Changes) error
}

// A Row is one record as it is stored. Body is opaque to the store.
type Row struct {
	Link, Key string
	// Seq is the version of the row: zero to insert, else the one loaded. Write
	// stores Seq+1.
	Seq int64
	// Exists, Outstanding and Parked are what Scan and Counts select by.
	Exists, Outstanding, Parked bool
	Body                        []byte
}

// A Filter selects rows.
type Filter uint8

// The filters.
const (
	AllRecords  Filter = iota
	Outstanding        // work is left to do
	Parked             // a person is needed
)

// A RefState is how a remote ID relates to a record.
type RefState uint8

// The states of a remote ID.
const (
	// RefLinked: the record is this one there.
	RefLinked RefState = iota + 1
	// RefAlias: it once was; the ID is never taken for a new record.
	RefAlias
	// RefCreating: a create is under way; ID is empty.
	RefCreating
)

// A Ref ties a system's ID to a record's key.
type Ref struct {
	Link   string
	System dovetail.System
	ID     string
	Key    string
	State  RefState
	// Version and Shown (a hash of the values) are what the system showed last,
	// so that an unchanged record costs no more than this row.
	Version string
	Shown   uint64
}

// By says what a Lookup goes by.
type By uint8

// The lookups.
const (
	// ByRemote: System and Value, a remote ID, linked or alias.
	ByRemote By = iota + 1
	// ByMatch: Field and Value.
	ByMatch
	// ByCreating: System; the records with a create under way there.
	ByCreating
	// ByParent: Parent and System; "link/key" of the records that wait for a
	// record of another link to appear in a system.
	ByParent
)

// A Lookup finds records.
type Lookup struct {
	Link   string
	By     By
	System dovetail.System
	Field  string
	Value  string
}

// Changes is everything one transaction writes. The zero value writes nothing.
type Changes struct {
	// Row is inserted or replaced, by Seq. Nil: no row.
	Row *Row
	// Refs, Matches and Waits replace all that the row's record had.
	Refs    []Ref
	Matches map[string]string
	Waits   []Wait
	// Entries are appended to the history.
	Entries []Entry
	// Link and Meta set named values; an empty value removes one.
	Link string
	Meta map[string]string
}

// A Wait says that a record waits for a record of another link in a system.
type Wait struct {
	ParentLink, ParentKey string
	System                dovetail.System
}

// An Entry is one line of a record's history: a decision with its reason. Old
// and New are stored values (dovetail.Value.Encode), in the developer's own
// database; they never reach a log.
type Entry struct {
	Link, Key, Field string
	System           dovetail.System
	// Kind is what happened: moved, trespass, conflict, parked, created, adopted,
	// deleted, written, settled.
	Kind string
	// Rule is what decided: owner, fast-forward, or a resolver's name.
	Rule string
	Why  string
	// By is who, as the system said; At when, by its clock; Seen when it was
	// observed, by ours.
	By       string
	At, Seen time.Time
	Old, New string
}

// Counts counts the records of one link.
type Counts struct {
	Records, Outstanding, Parked int64
	// Linked counts, per system, the records known there; Deleting those of them
	// that no longer exist for their owner.
	Linked, Deleting map[dovetail.System]int64
}
