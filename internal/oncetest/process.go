// Package oncetest is the world in which it is tried out that a write happens once: a
// target that misbehaves, and processes that die or stand still at any point.
package oncetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tectari/dovetail/idempotency"
)

// A Process is one worker's view of the store. It dies at a point: from then on
// it does nothing, and nothing it does counts.
type Process struct {
	idempotency.Store
	// DieAt is the point at which it dies, PauseAt that at which it stands still for
	// Pause. Empty: at none.
	DieAt, PauseAt string
	Pause          time.Duration

	mu     sync.Mutex
	dead   bool
	paused time.Time // until when
}

// ErrDead is what a dead process gets.
var ErrDead = errors.New("oncetest: the process is dead")

// at runs one boundary: die or pause before it, do it, die or pause after it.
func (p *Process) at(name string, do func() error) error {
	if err := p.reach("before " + name); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return p.reach("after " + name)
}

func (p *Process) reach(point string) error {
	p.mu.Lock()
	if p.DieAt == point {
		p.dead = true
	}
	if p.PauseAt == point {
		p.PauseAt = ""
		p.paused = time.Now().Add(p.Pause)
	}
	dead, left := p.dead, time.Until(p.paused)
	p.mu.Unlock()
	if left > 0 {
		time.Sleep(left) // as SIGSTOP does, also to the renewal
	}
	if dead {
		return ErrDead
	}
	return nil
}

// Claim does it, unless the process is dead.
func (p *Process) Claim(ctx context.Context, r idempotency.ClaimRequest) (c idempotency.Claim, err error) {
	err = p.at("claim", func() error { c, err = p.Store.Claim(ctx, r); return err })
	return c, err
}

// MarkSending does it, unless the process is dead.
func (p *Process) MarkSending(ctx context.Context, m idempotency.Mark) error {
	return p.at("mark", func() error { return p.Store.MarkSending(ctx, m) })
}

// Complete does it, unless the process is dead.
func (p *Process) Complete(ctx context.Context, c idempotency.Completion) error {
	return p.at("complete", func() error { return p.Store.Complete(ctx, c) })
}

// Release does it, unless the process is dead.
func (p *Process) Release(ctx context.Context, r idempotency.Release) error {
	return p.at("release", func() error { return p.Store.Release(ctx, r) })
}

// Renew does it, unless the process is dead.
func (p *Process) Renew(ctx context.Context, k idempotency.Key, fence int64, d time.Duration) error {
	return p.at("renew", func() error { return p.Store.Renew(ctx, k, fence, d) })
}

// Dead reports whether it has died.
func (p *Process) Dead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}
