package webhook

import (
	"context"
	"errors"
	"sync"

	"github.com/tectari/dovetail/outbox"
)

// A group lets deliveries that come at the same time share a transaction: a commit
// waits for the disk, so this is what decides how many are taken in a second. Whoever
// comes while all flushers are busy is taken along by the next one; nobody waits for a
// timer, and each is answered only when its own delivery is durable.
type group struct {
	queue *outbox.Queue

	mu      sync.Mutex
	busy    int
	waiting []*share
}

// A share is one delivery on its way to the store.
type share struct {
	ctx context.Context //nolint:containedctx // the request's, which waits for this to end
	m   outbox.Message
	// lead wakes who waits: true to flush, false when err says what became of it.
	lead chan bool
	err  error
}

// One flusher encodes while the other commits; a flush has at most so many.
const (
	flushers  = 2
	flushMost = 256
)

// errAbandoned is what the others get when the goroutine that flushed for them ended.
var errAbandoned = errors.New("webhook: the transaction was abandoned")

// put stores m, perhaps together with others, and returns when it is durable or has
// failed.
func (g *group) put(ctx context.Context, m outbox.Message) error {
	me := &share{ctx: ctx, m: m, lead: make(chan bool, 1), err: errAbandoned}
	g.mu.Lock()
	leads := g.busy < flushers
	if leads {
		g.busy++
	} else {
		g.waiting = append(g.waiting, me)
	}
	g.mu.Unlock()
	if !leads && !<-me.lead {
		return me.err
	}
	batch := g.take(me)
	defer g.hand(batch[1:])
	g.flush(ctx, batch)
	return me.err
}

// take returns me and those who wait, up to a limit.
func (g *group) take(me *share) []*share {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.waiting), flushMost-1)
	batch := append([]*share{me}, g.waiting[:n]...)
	g.waiting = g.waiting[n:]
	return batch
}

// hand hands the flushing on, to one who then waits no more, and tells those of a batch
// what became of them. It is deferred, so that they go on even if this goroutine ends
// in the middle.
func (g *group) hand(batch []*share) {
	g.mu.Lock()
	if len(g.waiting) > 0 {
		next := g.waiting[0]
		g.waiting = g.waiting[1:]
		next.lead <- true
	} else {
		g.busy--
	}
	g.mu.Unlock()
	for _, other := range batch {
		other.lead <- false
	}
}

// flush stores a batch in one transaction. If that fails each gets one of its own: what
// is wrong with one is not the others' fault.
func (g *group) flush(ctx context.Context, batch []*share) {
	if len(batch) > 1 && g.store(ctx, batch) == nil {
		for _, x := range batch {
			x.err = nil
		}
		return
	}
	for _, x := range batch {
		x.err = g.store(x.ctx, []*share{x})
	}
}

func (g *group) store(ctx context.Context, batch []*share) error {
	messages, each := make([]outbox.Message, len(batch)), make([]context.Context, len(batch))
	for i, x := range batch {
		messages[i], each[i] = x.m, x.ctx
	}
	return g.queue.Tx(ctx, func(ctx context.Context, tx outbox.Tx) error {
		return g.queue.Enqueue(outbox.Each(ctx, each), tx, messages...)
	})
}
