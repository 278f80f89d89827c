package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
)

// A group lets the writers of one process share a commit where the database
// admits one writer at a time: whoever comes while a transaction is under way is
// taken along by the next one, each inside a savepoint of its own. A commit waits
// for the disk, so this is what decides how many writes a second there are. Each
// caller still returns only after its own work is durable.
type group struct {
	mu      sync.Mutex
	leading bool
	waiting []*share
}

// share is one caller's part of a transaction.
type share struct {
	ctx context.Context //nolint:containedctx // it is the caller's, who waits for this to end
	fn  func(*sql.Tx) error
	// lead wakes the caller: true to lead the next transaction, false when err
	// says what became of it.
	lead chan bool
	err  error
	// panicked is what fn panicked with, to go on on the caller's own goroutine.
	panicked any
}

// run runs the caller's part, on whichever goroutine leads.
func (x *share) run(tx *sql.Tx) (err error) {
	defer func() {
		if r := recover(); r != nil {
			x.panicked, err = r, errAbandoned
		}
	}()
	return x.fn(tx)
}

// shares bounds a transaction, so that nobody waits for a crowd.
const shares = 64

// errAbandoned is what the others get when the goroutine that led their
// transaction ended in the middle of it.
var errAbandoned = errors.New("sqlstore: the transaction was abandoned")

// do runs fn in a transaction, perhaps together with others, and returns when it
// is durable or has failed.
func (g *group) do(ctx context.Context, fn func(*sql.Tx) error, run func([]*share)) error {
	me := &share{ctx: ctx, fn: fn, lead: make(chan bool, 1), err: errAbandoned}
	g.mu.Lock()
	g.waiting = append(g.waiting, me)
	first := !g.leading
	g.leading = true
	g.mu.Unlock()
	if !first && !<-me.lead {
		return me.result()
	}
	g.mu.Lock()
	n := min(len(g.waiting), shares)
	batch := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	g.mu.Unlock()
	// Deferred, so that the others go on even if this goroutine ends in fn.
	defer func() {
		g.mu.Lock()
		if len(g.waiting) > 0 {
			g.waiting[0].lead <- true
		} else {
			g.leading, g.waiting = false, nil
		}
		g.mu.Unlock()
		for _, other := range batch {
			if other != me {
				other.lead <- false
			}
		}
	}()
	run(batch)
	return me.result()
}

// result is what became of the caller's part, for the caller.
func (x *share) result() error {
	if x.panicked != nil {
		panic(x.panicked)
	}
	return x.err
}

// together runs the shares in one transaction, and sets each one's error. A share
// that fails is taken back alone. Where that cannot be done, because the database
// gave up the whole transaction (an interrupted statement does that), each share
// gets a transaction of its own.
func (s *Store) together(batch []*share) {
	live := batch[:0:0]
	for _, x := range batch {
		if x.err = x.ctx.Err(); x.err == nil {
			x.err = errAbandoned
			live = append(live, x)
		}
	}
	if len(live) > 1 && s.inSavepoints(live) {
		return
	}
	for _, x := range live {
		x.err = s.repeat(x.ctx, func() error { return s.once(x.ctx, x.run) })
	}
}

// inSavepoints reports whether the transaction was carried through, with every
// share's error set.
func (s *Store) inSavepoints(live []*share) bool {
	// One caller's end must not be everybody's.
	ctx := context.WithoutCancel(live[0].ctx)
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return false
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	for _, x := range live {
		if _, err := tx.ExecContext(ctx, s.dialect.base.savepoint); err != nil {
			return false
		}
		x.err = x.run(tx)
		if x.err != nil {
			if s.dialect.base.busy(x.err) {
				return false
			}
			if _, err := tx.ExecContext(ctx, s.dialect.base.rollbackTo); err != nil {
				return false
			}
		}
		if _, err := tx.ExecContext(ctx, s.dialect.base.release); err != nil {
			return false
		}
	}
	err = tx.Commit()
	if err == nil {
		return true
	}
	if s.dialect.base.busy(err) {
		return false
	}
	for _, x := range live {
		if x.err == nil {
			x.err = fmt.Errorf("commit: %w", err)
		}
	}
	return true
}
