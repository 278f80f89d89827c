package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// An OperationLog is what a Store may implement besides: it tells what people did
// to the queue, from what OperateQueue recorded. dovetailtest.RunOperationLog is
// its contract.
type OperationLog interface {
	// QueueOperations returns what the filter selects, newest first: no more than
	// its Limit, which is above zero. An operation appears exactly if it was
	// committed, with the filter that it was asked for and how many messages it
	// touched, zero included.
	QueueOperations(ctx context.Context, f OperationFilter) ([]Recorded, error)
}

// A Recorded is an Operation that was done.
type Recorded struct {
	// ID grows with each operation.
	ID int64
	// At is when it was done, by the store's clock.
	At time.Time
	Operation
	// Messages counts those that were touched.
	Messages int
}

// An OperationFilter selects operations. The zero OperationFilter selects all.
type OperationFilter struct {
	// Destination is Operation.Destination; an operation on letters of all
	// destinations has none. Empty ones do not matter, nor does an empty Who or
	// Action.
	Destination, Who string
	Action           Action
	// Since and Before select by when it was done.
	Since, Before time.Time
	// Below selects those with a lower ID, to page through. Defaults to all.
	Below int64
	// Limit is how many at most. Defaults to 100.
	Limit int
}

// Operations returns what people did to the queue, newest first: pauses, resumes,
// replays and discards, each with who, when, why, and how many messages it
// touched. It returns errors.ErrUnsupported where the store does not implement
// OperationLog.
func (q *Queue) Operations(ctx context.Context, f OperationFilter) ([]Recorded, error) {
	if q.log == nil {
		return nil, fmt.Errorf("outbox: operations: %T keeps them but cannot list them: %w", q.store, errors.ErrUnsupported)
	}
	if f.Limit <= 0 {
		f.Limit = 100
	}
	list, err := q.log.QueueOperations(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("outbox: operations: %w", err)
	}
	return list, nil
}
