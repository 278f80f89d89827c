package alert

import (
	"context"
	"errors"
	"time"
)

// ErrStale is returned by Store.Save and Store.Delete for a row whose Seq is not
// the stored one: another process wrote it.
var ErrStale = errors.New("alert: problem was changed by another writer")

// A Store keeps problems, so that several processes tell a person once and a
// crash forgets nothing. Packages store/sqlstore and store/memstore have one;
// dovetailtest.RunAlertStore is its contract. All methods are safe for
// concurrent use.
type Store interface {
	// LoadProblem reads one row, and false when there is none.
	LoadProblem(ctx context.Context, fingerprint string) (Row, bool, error)
	// SaveProblem inserts r when its Seq is zero, else replaces the row that has
	// that Seq; the row is stored with Seq+1. It returns ErrStale when the row
	// exists with another Seq, or when it is gone.
	SaveProblem(ctx context.Context, r Row) error
	// DeleteProblem removes the row that has that Seq. It returns ErrStale when
	// the row has another; a row that is gone is no error.
	DeleteProblem(ctx context.Context, fingerprint string, seq int64) error
	// ListProblems returns up to limit rows after a fingerprint, in byte order.
	ListProblems(ctx context.Context, after string, limit int) ([]Row, error)
	// LeaseAlerts makes holder the one that sends for ttl from now, by the store's clock,
	// and reports true; or reports false while another holds it. The holder
	// renews it by the same call.
	LeaseAlerts(ctx context.Context, holder string, ttl time.Duration) (bool, error)
	// ReleaseAlerts ends the lease if holder has it.
	ReleaseAlerts(ctx context.Context, holder string) error
}

// A Row is one problem as it is stored. Body is opaque to the store.
type Row struct {
	Fingerprint string
	// Seq is the version of the row: zero to insert, else the one loaded.
	Seq  int64
	Body []byte
}
