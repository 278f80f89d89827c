package idempotency

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tectari/dovetail"
)

// An Answer says what became of a write in doubt. Make one with Happened or
// DidNotHappen; the zero Answer is refused with ErrNoAnswer.
type Answer struct {
	said     bool
	happened bool
	ref      Ref
}

// Happened says that the write took effect and made, or changed, the record r.
// For an operation of Do the zero Ref will do; for a record its ID is required.
func Happened(r Ref) Answer { return Answer{said: true, happened: true, ref: r} }

// DidNotHappen says that the write took no effect: the next call sends it again.
func DidNotHappen() Answer { return Answer{said: true} }

// Errors of Resolve.
var (
	// ErrNoAnswer: the Answer is zero, lacks the ID of the record, or nobody gave it.
	ErrNoAnswer = errors.New("idempotency: no answer, or nobody's")
	// ErrNotInDoubt: there is nothing to answer.
	ErrNotInDoubt = errors.New("idempotency: not in doubt")
)

// resolveLease is how long Resolve holds a key.
const resolveLease = 10 * time.Second

// Resolve settles a write in doubt with the answer of by, a person or a program
// that looked. It returns ErrNotInDoubt if the outcome is known, and
// ErrInProgress if a worker is at it. Both answers are kept with by.
func Resolve(ctx context.Context, s Store, k Key, a Answer, by string) error {
	if err := resolve(ctx, s, k, a, by); err != nil {
		return fmt.Errorf("resolve %s: %w", k, err)
	}
	return nil
}

func resolve(ctx context.Context, s Store, k Key, a Answer, by string) error {
	if err := k.check(); err != nil {
		return &dovetail.Error{Fault: dovetail.Invalid, Err: err}
	}
	if !a.said || strings.TrimSpace(by) == "" {
		return &dovetail.Error{Fault: dovetail.Invalid, Err: fmt.Errorf("%w: write idempotency.Happened(ref) or DidNotHappen(), and who says so", ErrNoAnswer)}
	}
	e, found, err := s.Get(ctx, k)
	if err != nil {
		return asLedger("read", err)
	}
	if !found || (e.State != Doubt && e.State != Sending) {
		return &dovetail.Error{Fault: dovetail.Invalid, Err: ErrNotInDoubt}
	}
	if a.happened && a.ref.ID == "" && e.Kind != Operation {
		return &dovetail.Error{Fault: dovetail.Invalid, Err: fmt.Errorf("%w: which record is it? write Happened(Ref{ID: …})", ErrNoAnswer)}
	}
	// The claim keeps every worker out while the answer is written, and fails if
	// one is at it.
	c, err := s.Claim(ctx, ClaimRequest{Key: k, Kind: e.Kind, Fingerprint: e.Fingerprint, Seq: e.Seq, Lease: resolveLease})
	switch {
	case err != nil:
		return asLedger("claim", err)
	case c.Verdict == Busy:
		return notWon(c)
	case c.Verdict != Won:
		return &dovetail.Error{Fault: dovetail.Invalid, Err: ErrNotInDoubt}
	case c.State != Doubt: // it was released with proof meanwhile
		err = s.Release(ctx, Release{Key: k, Fence: c.Fence, NotApplied: true, Cause: c.Cause, By: c.By})
		return errors.Join(&dovetail.Error{Fault: dovetail.Invalid, Err: ErrNotInDoubt}, err)
	case a.happened:
		err = s.Complete(ctx, Completion{Key: k, Fence: c.Fence, Fingerprint: c.Fingerprint, Ref: a.ref, By: by})
	default:
		err = s.Release(ctx, Release{Key: k, Fence: c.Fence, NotApplied: true, Settled: true, Cause: "did not happen", By: by})
	}
	if err != nil {
		return asLedger("write the answer", err)
	}
	return nil
}
