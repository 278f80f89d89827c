package idempotency

import (
	"context"
	"time"
)

// A Store keeps the ledger. Package store/sqlstore and store/memstore have one;
// dovetailtest.RunLedgerStore is its contract. All methods are safe for
// concurrent use, by several processes where the store is shared. Time is the
// store's own, to the millisecond or finer. Apply, on each request, says what
// changes; the store makes it one atomic and durable step.
type Store interface {
	// Claim decides who has the key: of any number of callers at once, in any
	// process, at most one gets Won until its lease is over or it completes or
	// releases. The entry it returns is as it stands after the claim.
	Claim(ctx context.Context, r ClaimRequest) (Claim, error)
	// MarkSending records, before anything is sent, that it may be from now on.
	// It returns ErrFenced, and changes nothing, if the fence is not the entry's
	// or the entry is done. Called again by the same claim it does the same.
	MarkSending(ctx context.Context, m Mark) error
	// Complete records the outcome. It asks for the fence and not for the lease: a
	// late answer is kept when nobody took over. It returns ErrFenced, and changes
	// nothing, if somebody did. Called again with the same fence it succeeds.
	Complete(ctx context.Context, c Completion) error
	// Release frees the lease. It returns ErrFenced, and changes nothing, if the
	// fence is not the entry's or the entry is done.
	Release(ctx context.Context, r Release) error
	// Renew lets the lease end that long from now. It returns ErrFenced, and
	// changes nothing, if the fence is not the entry's or the entry is done.
	Renew(ctx context.Context, k Key, fence int64, lease time.Duration) error
	// Get returns the entry of a key, and false if there is none.
	Get(ctx context.Context, k Key) (Entry, bool, error)
	// Sweep removes up to limit operations that were done longer than age ago,
	// and returns how many. It never removes records, what is open or in doubt.
	Sweep(ctx context.Context, age time.Duration, limit int) (int, error)
}

// A Lister is a Store that can list what is open, for people and monitors.
type Lister interface {
	// Open returns entries in Doubt, and those in Sending whose lease is over, by
	// key, after the given one.
	Open(ctx context.Context, after Key, limit int) ([]Entry, error)
}

// A Tx is a transaction of the store's database: a *sql.Tx, or memstore's.
type Tx interface {
	Commit() error
	Rollback() error
}

// A TxStore is a Store that can complete in the caller's own transaction: what
// the function of Do writes there and the fact that it happened commit together.
type TxStore interface {
	Store
	// CompleteTx is Complete in tx. The result counts when tx commits.
	CompleteTx(ctx context.Context, tx Tx, c Completion) error
}

// A BatchStore is a Store that decides many claims in one round trip.
type BatchStore interface {
	Store
	// ClaimMany is Claim for each of the requests, whose keys differ, and returns the
	// claims in their order. It is not atomic: when it returns an error, some of the
	// claims may have been won; their leases end by themselves.
	ClaimMany(ctx context.Context, requests []ClaimRequest) ([]Claim, error)
}
