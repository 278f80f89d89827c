package idempotency

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tectari/dovetail"
)

// Do calls fn once for k and keeps what it returns, as JSON: every later Do with
// the same key and payload returns that, with the outcome Replayed. With another
// payload it returns ErrKeyReused. Payload and R are what encoding/json makes of
// them.
//
// An error of fn frees the key only if it is proof that nothing happened (see
// NotApplied). Any other error, a panic or a crash leaves the operation in doubt:
// Do then returns ErrInDoubt of class InDoubt and does not call fn again until a
// person has answered with Resolve. A caller that knows how to find out does so
// and calls Resolve itself. The context of fn ends when the lease of 30 seconds,
// which Do renews, was lost.
func Do[R any](ctx context.Context, s Store, k Key, payload any, fn func(ctx context.Context, c Claim) (R, error)) (R, Outcome, error) {
	r, o, err := do(ctx, s, k, payload, fn)
	if err != nil {
		return r, 0, fmt.Errorf("do %s: %w", k, err)
	}
	return r, o, nil
}

func do[R any](ctx context.Context, store Store, k Key, payload any, fn func(ctx context.Context, c Claim) (R, error)) (r R, o Outcome, err error) {
	if err := k.check(); err != nil {
		return r, 0, &dovetail.Error{Fault: dovetail.Invalid, Err: err}
	}
	_, fp, err := encode(payload)
	if err != nil {
		return r, 0, &dovetail.Error{Fault: dovetail.Invalid, Err: err}
	}
	asked := time.Now()
	c, err := store.Claim(ctx, ClaimRequest{Key: k, Kind: Operation, Fingerprint: fp, Lease: defaultLease})
	switch {
	case err != nil:
		return r, 0, asLedger("claim", err)
	case c.Verdict == Finished:
		if len(c.Result) > 0 {
			if err := json.Unmarshal(c.Result, &r); err != nil {
				return r, 0, &dovetail.Error{Fault: dovetail.Permanent, Err: fmt.Errorf("%w: the kept result is no %T", ErrPayload, r)}
			}
		}
		return r, Replayed, nil
	case c.Verdict != Won:
		return r, 0, notWon(c)
	}
	ctx, s := begin(ctx, store, c, defaultLease, asked)
	defer s.end()
	if c.State == Doubt {
		s.release(ctx, Release{NotApplied: true, Cause: "waits for a person"})
		return r, 0, needsPerson(ErrInDoubt)
	}
	r, err = operate(ctx, s, fp, fn)
	if err != nil {
		return r, 0, err
	}
	return r, Created, nil
}

// operate marks, calls fn and records what came of it.
func operate[R any](ctx context.Context, s *session, fp Fingerprint, fn func(context.Context, Claim) (R, error)) (r R, err error) {
	if err := s.mark(ctx, Mark{Fingerprint: fp}); err != nil {
		return r, err
	}
	returned := false
	defer func() {
		if !returned {
			s.release(ctx, Release{Cause: "panic"})
		}
	}()
	r, err = fn(ctx, s.claim)
	returned = true
	if err != nil {
		refused := proof(err)
		s.release(ctx, Release{NotApplied: refused, Cause: dovetail.Classify(err).String()})
		if refused {
			return r, err
		}
		if fenced := context.Cause(ctx); errors.Is(fenced, ErrFenced) {
			err = fmt.Errorf("%w: %w", fenced, err)
		}
		return r, needsPerson(fmt.Errorf("%w: %w", ErrInDoubt, err))
	}
	result, err := json.Marshal(r)
	if err != nil {
		// It happened. That the result cannot be kept does not undo it.
		result = nil
	}
	return r, s.complete(ctx, Completion{Fingerprint: fp, Result: result})
}
