package idempotency

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tectari/dovetail"
)

// work is what one claim of a record does.
type work[T any] struct {
	u *Upserter[T]
	s *session
	c Claim
	p payload[T]
	// sent: something was marked as being sent. ended: the claim was completed or
	// released, or tried to.
	sent, ended bool
}

// sending says how a request is sent.
type sending struct {
	// settled: whatever was sent before did not happen.
	settled bool
	// again: an earlier request is in doubt, and this one takes its place.
	again bool
	// until bounds the call; zero for no bound.
	until time.Duration
}

// decode returns the payload that data holds.
func decode[T any](data []byte) (T, error) {
	var v T
	if err := json.Unmarshal(data, &v); err != nil {
		// The error's text may hold a value; its type is enough.
		return v, fmt.Errorf("%w: it does not come back from its own JSON: decode %T: %T", ErrPayload, v, err)
	}
	return v, nil
}

// abandoned gives the key back when a function of the target panicked.
func (w *work[T]) abandoned(ctx context.Context) {
	if !w.ended {
		w.release(ctx, Release{NotApplied: !w.sent, Cause: "panic"})
	}
}

func (w *work[T]) release(ctx context.Context, r Release) {
	w.ended = true
	w.s.release(ctx, r)
}

// settle deals with a request in doubt. The order of the cases is the safety.
func (w *work[T]) settle(ctx context.Context) (Result, error) {
	u := w.u
	stored := w.p
	stored.data, stored.fp, stored.seq = w.c.Request, w.c.Fingerprint, w.c.Seq
	since := w.c.Now.Sub(w.c.LastSent)
	switch {
	case u.class == 'A' || w.c.Ref.ID != "":
		// Setting a record's content is safe to repeat, but an older content that
		// still travels must not arrive after a newer one.
		if left := u.config.RequestLife - since; w.c.Fingerprint != w.p.fp && left > 0 {
			return w.later(ctx, left)
		}
		return w.send(ctx, w.p, sending{again: true})
	case u.class == 'B' && w.window() > 0:
		v, err := decode[T](w.c.Request)
		if err != nil {
			return w.person(ctx, fmt.Errorf("%w: the stored request cannot be read: %w", ErrInDoubt, err))
		}
		stored.v = v
		return w.send(ctx, stored, sending{again: true, until: w.window()})
	case u.target.Find != nil:
		v, err := decode[T](w.c.Request)
		if err != nil {
			return w.person(ctx, fmt.Errorf("%w: the stored request cannot be read: %w", ErrInDoubt, err))
		}
		stored.v = v
		return w.look(ctx, stored, u.config.RequestLife+u.target.FindLag-since)
	case u.config.OnDoubt == MayRepeat:
		return w.send(ctx, w.p, sending{settled: true})
	default:
		return w.person(ctx, ErrInDoubt)
	}
}

// window is for how long the same bytes may still be sent under the same key. It
// counts from the first time they were sent, and ends early enough for a request
// that travels as long as one can.
func (w *work[T]) window() time.Duration {
	return w.u.target.KeyWindow - w.c.Now.Sub(w.c.FirstSent) - w.u.config.RequestLife - w.u.config.Lease
}

// look searches for what the stored request may have made. A hit counts at once, a
// miss only when left is over.
func (w *work[T]) look(ctx context.Context, stored payload[T], left time.Duration) (Result, error) {
	found, err := w.u.target.Find(ctx, w.c.Key, stored.v)
	if err != nil {
		w.release(ctx, Release{NotApplied: true, Cause: "look-up failed: " + dovetail.Classify(err).String()})
		return Result{}, unsettled(fmt.Errorf("look up what was sent: %w", err))
	}
	refs := make(map[string]Ref, 1)
	for _, r := range found {
		if err := r.check(); err != nil {
			return w.person(ctx, fmt.Errorf("%w: look-up: %w", ErrInDoubt, err))
		}
		refs[r.ID] = r
	}
	switch {
	case len(refs) > 1:
		return w.person(ctx, fmt.Errorf("%w: %d", ErrAmbiguous, len(refs)))
	case len(refs) == 1:
		return w.done(ctx, stored, refs[found[0].ID], Adopted)
	case left > 0:
		return w.later(ctx, left)
	default:
		return w.send(ctx, w.p, sending{settled: true})
	}
}

// later leaves the doubt as it is until left is over.
func (w *work[T]) later(ctx context.Context, left time.Duration) (Result, error) {
	w.release(ctx, Release{NotApplied: true, Cause: "waits until what was sent must have arrived"})
	return Result{}, tooEarly(ErrInDoubt, left)
}

// person leaves the doubt to a person.
func (w *work[T]) person(ctx context.Context, why error) (Result, error) {
	w.release(ctx, Release{NotApplied: true, Cause: "waits for a person"})
	return Result{}, needsPerson(why)
}

// send marks, calls, and records what came of it.
func (w *work[T]) send(ctx context.Context, p payload[T], how sending) (Result, error) {
	m := Mark{Fingerprint: p.fp, Seq: p.seq, Settled: how.settled}
	if w.u.class == 'B' || w.u.class == 'C' {
		m.Request = p.data
	}
	if err := w.s.mark(ctx, m); err != nil {
		w.ended = true
		return Result{}, err
	}
	w.sent = true
	ref, outcome, err := w.call(ctx, p, how)
	if err == nil {
		err = ref.check()
	}
	if err != nil {
		return Result{}, w.failed(ctx, how, err)
	}
	if how.again && outcome == Created {
		outcome = Replayed // the first request may have made it, and people may have changed it since
	}
	return w.done(ctx, p, ref, outcome)
}

// call calls the one function of the target that does it.
func (w *work[T]) call(ctx context.Context, p payload[T], how sending) (Ref, Outcome, error) {
	if how.until > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, how.until)
		defer cancel()
	}
	t, k := w.u.target, w.c.Key
	switch {
	case t.Upsert != nil:
		ref, created, err := t.Upsert(ctx, k, p.v)
		switch {
		case created:
			return ref, Created, err
		case p.kind == Once:
			return ref, Adopted, err
		default:
			return ref, Updated, err
		}
	case w.c.Ref.ID != "":
		if t.Update == nil {
			return Ref{}, 0, NotApplied(ErrNoUpdate)
		}
		r := w.c.Ref
		if how.again {
			r.Version = "" // the update in doubt may have moved it
		}
		ref, err := t.Update(ctx, r, p.v)
		return ref, Updated, err
	default:
		ref, err := t.Create(ctx, k, p.v)
		return ref, Created, err
	}
}

// failed records that a call failed and says what that means for the caller.
func (w *work[T]) failed(ctx context.Context, how sending, cause error) error {
	class := dovetail.Classify(cause)
	refused := proof(cause)
	w.release(ctx, Release{NotApplied: refused, Cause: class.String()})
	if fenced := context.Cause(ctx); errors.Is(fenced, ErrFenced) {
		cause = fmt.Errorf("%w: %w", fenced, cause)
	}
	switch {
	case refused && !how.again:
		return cause
	case w.u.class == 'A' || w.c.Ref.ID != "":
		// Whatever is sent next sets the whole content: the cause alone counts.
		if refused || class == dovetail.NotFound || class == dovetail.Conflict || class == dovetail.Permanent {
			return cause
		}
		return unsettled(cause)
	case how.again && !class.Retryable() && (refused || class == dovetail.NotFound || class == dovetail.Conflict || class == dovetail.Permanent) && class != dovetail.Auth:
		// The API does not take the same request again, which says nothing about
		// the first one.
		return needsPerson(fmt.Errorf("%w: sent again and refused: %w", ErrInDoubt, cause))
	case w.u.class == 'D' && w.u.config.OnDoubt == Park:
		return needsPerson(fmt.Errorf("%w: %w", ErrInDoubt, cause))
	default:
		return unsettled(cause)
	}
}

// done records the outcome. Where it is that of an earlier payload, this one is
// still to be written, or, for what is made once in its life, never.
func (w *work[T]) done(ctx context.Context, p payload[T], ref Ref, o Outcome) (Result, error) {
	w.ended = true
	if err := w.s.complete(ctx, Completion{Fingerprint: p.fp, Ref: ref}); err != nil {
		return Result{}, err
	}
	switch {
	case p.fp == w.p.fp:
		return Result{Ref: ref, Outcome: o}, nil
	case p.kind == Record:
		return Result{}, errOther
	case o == Created:
		return Result{Ref: ref, Outcome: Replayed}, nil
	default:
		return Result{Ref: ref, Outcome: o}, nil
	}
}
