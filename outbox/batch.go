package outbox

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/tectari/dovetail"
)

// A BatchHandler delivers several messages in one call: as one request to a bulk
// API, one write to a broker, one transaction. The slice and what it refers to
// belong to the handler. It is called by several goroutines at once, but never
// for two messages of one key, and a batch holds one message of a key at most,
// unless Destination.AllowSameKey says otherwise.
//
// HandleBatch returns one result for each message, in the order of the batch,
// and each means what the error of a Handler means; All makes one result that
// goes for all. Any other number of results, a panic, or the end of the
// goroutine is a failure of every message, as Transient. One result of class
// Unavailable or Auth pauses the destination; the results of the others count
// all the same. A message that has failed before comes in a batch of its own, so
// that one which makes the handler panic harms no others for long.
type BatchHandler interface {
	HandleBatch(ctx context.Context, batch []Delivery) []error
}

// A BatchHandlerFunc is a function used as a BatchHandler.
type BatchHandlerFunc func(ctx context.Context, batch []Delivery) []error

// HandleBatch calls f.
func (f BatchHandlerFunc) HandleBatch(ctx context.Context, batch []Delivery) []error {
	return f(ctx, batch)
}

// All returns err as the result of each message of a batch: what a BatchHandler
// returns whose batch succeeds or fails as a whole.
func All(batch []Delivery, err error) []error {
	results := make([]error, len(batch))
	if err != nil {
		for i := range results {
			results[i] = err
		}
	}
	return results
}

// errHeld is the result of a message whose key failed earlier in its batch.
var errHeld = errors.New("held up by an earlier message of its key")

// batch calls the batch handler of the line with what c holds, and keeps the
// results.
func (c *call) batch(ctx context.Context) {
	deliveries := make([]Delivery, 0, len(c.items))
	for i, it := range c.items {
		d, err := it.delivery()
		if c.results[i] = (result{err: err, local: err != nil}); err == nil {
			deliveries = append(deliveries, d)
		}
	}
	if len(deliveries) == 0 {
		return
	}
	got, stack, err := c.line.handleBatch(ctx, deliveries)
	n := 0
	for i := range c.results {
		switch res := &c.results[i]; {
		case res.local:
		case err != nil:
			*res = result{err: err, stack: stack}
		default:
			res.err = got[n]
			n++
		}
	}
}

// handleBatch calls the batch handler. A panic becomes an error, with its stack,
// and so does another number of results than of messages.
func (l *line) handleBatch(ctx context.Context, deliveries []Delivery) (got []error, stack string, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.Timeout)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			stack, err = string(debug.Stack()), fmt.Errorf("batch handler of %s panicked: %v", l.Name, v)
		}
	}()
	n := len(deliveries)
	if got = l.Batch.HandleBatch(ctx, deliveries); len(got) != n {
		err = dovetail.NewError(dovetail.Transient, "deliver to "+l.Name, "the batch handler returned %d results for %d messages", len(got), n)
	}
	return got, "", err
}

// holdUp has messages wait whose key failed earlier in the batch, whatever their
// own result says: the order of the key comes first.
func (r *relay) holdUp(c *call) {
	for i := 1; i < len(c.items); i++ {
		it := c.items[i]
		if !it.follows || c.results[i-1].err == nil {
			continue
		}
		c.results[i] = result{err: errHeld}
		it.lane.flying--
		it.stage, it.follows = queued, false
		if !it.line.has(it.Shard) || r.lost {
			r.forget(it)
			continue
		}
		it.lane.enter(it)
	}
}
