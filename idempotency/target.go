package idempotency

import (
	"context"
	"time"

	"github.com/tectari/dovetail"
)

// A Target says what a system's API can do for one kind of record. A nil function
// means that it cannot. The class of the target follows: with Upsert it is A;
// else with Create and KeyWindow B; else with Create and Find C; with Create alone
// D. The functions are called by several goroutines at once, never for one key at
// the same time as long as the lease holds; they must end soon after their
// context does.
//
// An error of Upsert, Create or Update leaves the write in doubt unless it is
// proof that nothing happened: see NotApplied. A Ref without ID is no answer and
// leaves it in doubt too.
type Target[T any] struct {
	// Upsert makes or changes the record that carries our ID in a field that the
	// system itself keeps unique (k.ID, or k.UUID()). Created says which.
	Upsert func(ctx context.Context, k Key, v T) (r Ref, created bool, err error)
	// Create makes the record. With a KeyWindow it must send k.UUID() as the API's
	// idempotency key. With a Find it must put what Find looks for into the record.
	// A class B or C target gets v as it comes back from JSON, so that a repetition
	// sends the same.
	Create func(ctx context.Context, k Key, v T) (Ref, error)
	// KeyWindow is how long the API remembers an idempotency key. Zero: it takes
	// none.
	KeyWindow time.Duration
	// Find looks for records that Create made for k; v is what was sent.
	Find func(ctx context.Context, k Key, v T) ([]Ref, error)
	// FindLag is how long after a write Find may still miss it. Zero only where
	// Find reads what was just written.
	FindLag time.Duration
	// Update changes the record r. Only Upserter.Upsert calls it. r.Version is
	// empty when an update before it is in doubt.
	Update func(ctx context.Context, r Ref, v T) (Ref, error)
}

// An OnDoubt says what happens to a write in doubt when the API leaves no way to
// find out.
type OnDoubt uint8

// What can be done. The zero OnDoubt has chosen nothing.
const (
	// Park waits for a person, who answers with Resolve.
	Park OnDoubt = iota + 1
	// MayRepeat sends it again and accepts that there may be two.
	MayRepeat
)

// String returns "park" or "may-repeat".
func (d OnDoubt) String() string {
	switch d {
	case Park:
		return "park"
	case MayRepeat:
		return "may-repeat"
	default:
		return "not chosen"
	}
}

// A Config sets up an Upserter.
type Config[T any] struct {
	// Store keeps the ledger. Required.
	Store Store
	// Target is what the system's API can do. Required.
	Target Target[T]
	// OnDoubt says what happens when there is no way to find out: always for a
	// target of class D, after the key window for one of class B without Find.
	// Required for class D, and for class B without Find when the KeyWindow is too
	// short to send anything twice. Defaults to Park for all others.
	OnDoubt OnDoubt
	// Lease is how long a crash blocks a key. Defaults to 30 seconds; at least 10
	// milliseconds.
	Lease time.Duration
	// RequestLife is how long a request that was given up on may still travel and
	// take effect. Before it is over, that a search finds nothing means nothing.
	// Defaults to 1 minute.
	RequestLife time.Duration
	// Observer is told what happens. Defaults to slog.Default for failures, and
	// nothing else.
	Observer dovetail.Observer
}

const (
	defaultLease       = 30 * time.Second
	minLease           = 10 * time.Millisecond
	defaultRequestLife = time.Minute
)

// class is what a target's API can do, in a letter.
func (t Target[T]) class() byte {
	switch {
	case t.Upsert != nil:
		return 'A'
	case t.Create == nil:
		return 0
	case t.KeyWindow > 0:
		return 'B'
	case t.Find != nil:
		return 'C'
	default:
		return 'D'
	}
}

// check returns dovetail.Faults with everything that is wrong with c, and fills
// in the defaults.
func (c *Config[T]) check() error {
	faults := dovetail.Faults{Package: "idempotency"}
	if c.Lease == 0 {
		c.Lease = defaultLease
	}
	if c.RequestLife == 0 {
		c.RequestLife = defaultRequestLife
	}
	if c.Store == nil {
		faults.Add("IDM001", "Config.Store", "required", "sqlstore.New(db, sqlstore.SQLite), or memstore.New() for a try")
	}
	class := c.Target.class()
	if class == 0 {
		faults.Add("IDM002", "Config.Target", "neither Upsert nor Create: nothing can be written", "give it Create, or Upsert where the API has one by our own ID")
	}
	if c.Target.KeyWindow < 0 || c.Target.FindLag < 0 || c.Lease < minLease || c.RequestLife < 0 {
		faults.Add("IDM003", "Config", "a negative time, or a Lease below 10ms", "leave Lease and RequestLife zero for 30s and 1m; KeyWindow and FindLag are what the API documents")
	}
	if c.Target.KeyWindow > 0 && c.Target.Create == nil {
		faults.Add("IDM004", "Config.Target.KeyWindow", "set, but there is no Create to send the key with", "give it Create, or leave KeyWindow zero")
	}
	if c.Target.FindLag > 0 && c.Target.Find == nil {
		faults.Add("IDM005", "Config.Target.FindLag", "set, but there is no Find", "give it Find, or leave FindLag zero")
	}
	blind := class == 'D' || (class == 'B' && c.Target.Find == nil && c.Target.KeyWindow <= c.RequestLife+c.Lease)
	if blind && c.OnDoubt == 0 {
		faults.Add("IDM006", "Config.OnDoubt", "required: after a lost reply this API leaves no way to find out whether the record was made",
			"idempotency.Park (a person looks), or idempotency.MayRepeat (there may be two); better, give the Target Find")
	}
	if c.OnDoubt > MayRepeat {
		faults.Add("IDM007", "Config.OnDoubt", "neither Park nor MayRepeat", "idempotency.Park")
	}
	if c.OnDoubt == 0 {
		c.OnDoubt = Park
	}
	return faults.Err()
}
