package idempotency

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tectari/dovetail"
)

// A session is one claim that was won: it renews the lease until end is called,
// and writes to the ledger with the claim's fence. The context of the work ends
// with the lease.
type session struct {
	store  Store
	claim  Claim
	lease  time.Duration
	cancel context.CancelCauseFunc
	quit   chan struct{}
	over   chan struct{}

	once sync.Once
	mu   sync.Mutex
	held time.Time // when the lease that holds now was asked for, by our clock
}

// begin starts to renew the lease of c, which was asked for at the given time.
func begin(ctx context.Context, store Store, c Claim, lease time.Duration, asked time.Time) (context.Context, *session) {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &session{store: store, claim: c, lease: lease, cancel: cancel, quit: make(chan struct{}), over: make(chan struct{}), held: asked}
	go s.renew(context.WithoutCancel(ctx))
	return ctx, s
}

// end stops the renewal, waits for it, and ends the context of the work.
func (s *session) end() {
	s.stop()
	s.cancel(nil)
}

// stop stops the renewal and waits for it. It may be called again.
func (s *session) stop() {
	s.once.Do(func() { close(s.quit) })
	<-s.over
}

func (s *session) renew(ctx context.Context) {
	defer close(s.over)
	timer := time.NewTimer(s.lease / 3)
	defer timer.Stop()
	for {
		select {
		case <-s.quit:
			return
		case <-timer.C:
		}
		asked := time.Now()
		err := s.try(ctx, s.lease/3, func(ctx context.Context) error {
			return s.store.Renew(ctx, s.claim.Key, s.claim.Fence, s.lease)
		})
		switch {
		case err == nil:
			s.mu.Lock()
			s.held = asked
			s.mu.Unlock()
		case errors.Is(err, ErrFenced) || !s.alive():
			s.cancel(fmt.Errorf("%w: %w", ErrFenced, err))
			return
		}
		timer.Reset(s.lease / 3)
	}
}

// alive reports whether the lease holds for certain, by our own clock, which
// began before the store's.
func (s *session) alive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.held) < s.lease
}

// try runs fn, which must end within a limit or with the session, apart from the
// caller's context: what was sent must be recorded also when nobody waits for it
// any more.
func (s *session) try(ctx context.Context, limit time.Duration, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return fn(ctx)
}

// mark records that m is about to be sent. An error means that it must not be.
func (s *session) mark(ctx context.Context, m Mark) error {
	m.Key, m.Fence = s.claim.Key, s.claim.Fence
	if err := s.store.MarkSending(ctx, m); err != nil {
		s.release(ctx, Release{NotApplied: true, Cause: "the ledger could not be written before sending"})
		return asLedger("mark as sending", err)
	}
	err := context.Cause(ctx)
	if err == nil && !s.alive() {
		err = ErrFenced
	}
	if err != nil { // nothing is sent yet, and nothing will be
		s.release(ctx, Release{NotApplied: true, Cause: "ended before sending"})
		if errors.Is(err, ErrFenced) {
			return &dovetail.Error{Fault: dovetail.Transient, Err: err}
		}
		return err
	}
	return nil
}

// completeTries bounds how often an outcome that is known is tried to be written.
const completeTries = 6

// complete records the outcome, several times if need be, and also when the
// caller has gone.
func (s *session) complete(ctx context.Context, c Completion) error {
	c.Key, c.Fence = s.claim.Key, s.claim.Fence
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.lease)
	defer cancel()
	wait := s.lease / 100
	for n := 1; ; n++ {
		err := s.try(ctx, s.lease/3, func(ctx context.Context) error { return s.store.Complete(ctx, c) })
		if err == nil {
			return nil
		}
		if errors.Is(err, ErrFenced) || n == completeTries {
			return &dovetail.Error{
				Fault: dovetail.Transient, Ref: dovetail.Ref{ID: c.Ref.ID},
				Err: fmt.Errorf("%w: done there, but not recorded: %w", ErrInDoubt, err),
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			n = completeTries - 1 // once more says why
		}
		wait *= 2
	}
}

// release gives the key back. It is tried once: if it fails, the lease ends by
// itself and the next claim finds the entry as it stands, which is never wrong,
// only later.
func (s *session) release(ctx context.Context, r Release) {
	r.Key, r.Fence = s.claim.Key, s.claim.Fence
	s.stop() // or a renewal under way would take back what is given
	_ = s.try(context.WithoutCancel(ctx), s.lease/3, func(ctx context.Context) error { return s.store.Release(ctx, r) })
}

// asLedger is an error of the store before anything was sent: it may be tried
// again.
func asLedger(what string, err error) error {
	class := dovetail.Classify(err)
	if class == dovetail.Unclassified || class == dovetail.InDoubt {
		class = dovetail.Transient
	}
	return &dovetail.Error{Fault: class, Err: fmt.Errorf("ledger: %s: %w", what, err)}
}
