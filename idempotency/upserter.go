package idempotency

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tectari/dovetail"
)

// An Outcome says what came of a write. The zero Outcome is none: there was an
// error.
type Outcome uint8

// The outcomes.
const (
	// Created: the record was made now, from this payload.
	Created Outcome = iota + 1
	// Updated: the record was there and holds this payload now.
	Updated
	// Unchanged: this payload was written before; nothing was sent.
	Unchanged
	// Adopted: the record was found in the target, made by an earlier attempt or
	// by somebody else. What it holds may differ from this payload.
	Adopted
	// Replayed: it was done before, or the request of an earlier attempt was
	// finished now. What the record holds may differ from this payload.
	Replayed
	// Stale: a newer version was written or is being written; nothing was sent.
	Stale
)

var outcomeNames = [...]string{"none", "created", "updated", "unchanged", "adopted", "replayed", "stale"}

// String returns the outcome in lower case.
func (o Outcome) String() string { return nameOf(outcomeNames[:], int(o)) }

// A Result is what came of a write: the record and how it got there. Ref is zero
// only if the outcome is Stale and the record is not made yet, or if a person
// settled the doubt without saying which record it is.
type Result struct {
	Ref     Ref
	Outcome Outcome
}

// An Upserter writes the records of one kind into one system, each once. Make one
// with NewUpserter; the zero value is not usable. It is safe for concurrent use,
// and any number of processes may use the same ledger.
type Upserter[T any] struct {
	config   Config[T]
	target   Target[T]
	class    byte
	observer dovetail.Observer
}

// NewUpserter returns an Upserter, or dovetail.Faults with everything that is
// wrong with c. It does no I/O and starts nothing.
func NewUpserter[T any](c Config[T]) (*Upserter[T], error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	return &Upserter[T]{config: c, target: c.Target, class: c.Target.class(), observer: dovetail.ObserverOr(c.Observer)}, nil
}

// Upsert makes the record k hold v: it creates it, changes it, or finds that
// nothing is to be done. Seq is the source's version of v, which keeps an older
// one that arrives late from being written; 0 if the source has none. It returns
// ErrNoUpdate if the target cannot change a record. A record that was deleted in
// the target is not made again under the same key.
func (u *Upserter[T]) Upsert(ctx context.Context, k Key, seq int64, v T) (Result, error) {
	if err := u.changes(); err != nil {
		return Result{}, fmt.Errorf("upsert %s: %w", k, err)
	}
	return u.observe(ctx, "upsert", Record, k, seq, v)
}

// changes returns ErrNoUpdate if the target can change no record.
func (u *Upserter[T]) changes() error {
	if u.target.Upsert == nil && u.target.Update == nil {
		return &dovetail.Error{Fault: dovetail.Permanent, Err: ErrNoUpdate}
	}
	return nil
}

// Create makes the record k from v, once in its life: when the ledger says that it
// was made, whatever from, it returns Replayed and its Ref.
func (u *Upserter[T]) Create(ctx context.Context, k Key, v T) (Result, error) {
	return u.observe(ctx, "create", Once, k, 0, v)
}

// observe tells the observer of one write and puts the record into its error.
func (u *Upserter[T]) observe(ctx context.Context, op string, kind Kind, k Key, seq int64, v T) (Result, error) {
	return u.observed(ctx, op, k, func(ctx context.Context) (Result, error) { return u.write(ctx, kind, k, seq, v) })
}

func (u *Upserter[T]) observed(ctx context.Context, op string, k Key, write func(context.Context) (Result, error)) (Result, error) {
	e := dovetail.Event{Name: "idempotency." + op, Time: time.Now(), Key: k.String()}
	ctx = u.observer.Start(ctx, e)
	res, err := write(ctx)
	e.Duration, e.Outcome = time.Since(e.Time), res.Outcome.String()
	if err != nil {
		// The caller gets the error; the event only ends what was started.
		e.Outcome, e.Class = outcomeOf(err), dovetail.Classify(err)
		u.observer.Record(ctx, e)
		return Result{}, fmt.Errorf("%s %s: %w", op, k, err)
	}
	e.Ref.ID = res.Ref.ID
	u.observer.Record(ctx, e)
	return res, nil
}

func outcomeOf(err error) string {
	switch {
	case errors.Is(err, ErrWait):
		return "waiting"
	case errors.Is(err, ErrAmbiguous):
		return "ambiguous"
	case errors.Is(err, ErrInDoubt):
		return "in-doubt"
	default:
		return "failed"
	}
}

// A payload is what a call was asked to write.
type payload[T any] struct {
	kind Kind
	v    T
	data []byte
	fp   Fingerprint
	seq  int64
}

// errOther says that the doubt about an earlier payload is settled and that this
// one is still to be written.
var errOther = errors.New("idempotency: an earlier payload was settled")

// rounds bounds how often one call settles earlier payloads before its own.
const rounds = 3

func (u *Upserter[T]) write(ctx context.Context, kind Kind, k Key, seq int64, v T) (Result, error) {
	p, err := u.prepare(kind, k, seq, v)
	if err != nil {
		return Result{}, err
	}
	return u.rounds(ctx, k, p)
}

// prepare checks what a call was given and makes its payload.
func (u *Upserter[T]) prepare(kind Kind, k Key, seq int64, v T) (payload[T], error) {
	p := payload[T]{kind: kind, v: v, seq: seq}
	if err := k.check(); err != nil {
		return p, &dovetail.Error{Fault: dovetail.Invalid, Err: err}
	}
	if seq < 0 {
		return p, dovetail.NewError(dovetail.Invalid, "", "idempotency: negative version %d", seq)
	}
	var err error
	if p.data, p.fp, err = encode(v); err != nil {
		return p, &dovetail.Error{Fault: dovetail.Invalid, Err: err}
	}
	if u.class == 'B' || u.class == 'C' {
		// What is sent first is what would be sent again.
		if p.v, err = decode[T](p.data); err != nil {
			return p, &dovetail.Error{Fault: dovetail.Invalid, Err: err}
		}
	}
	return p, nil
}

// request is the claim of a payload.
func (u *Upserter[T]) request(k Key, p payload[T]) ClaimRequest {
	return ClaimRequest{Key: k, Kind: p.kind, Fingerprint: p.fp, Seq: p.seq, Lease: u.config.Lease}
}

// rounds claims and writes, as often as earlier payloads are to be settled first.
func (u *Upserter[T]) rounds(ctx context.Context, k Key, p payload[T]) (Result, error) {
	for range rounds {
		asked := time.Now()
		c, err := u.config.Store.Claim(ctx, u.request(k, p))
		if err != nil {
			return Result{}, asLedger("claim", err)
		}
		res, err := u.claimed(ctx, c, p, asked)
		if !errors.Is(err, errOther) {
			return res, err
		}
	}
	return Result{}, tooEarly(ErrInProgress, u.config.Lease)
}

// claimed is what follows from a claim that was asked for at a time.
func (u *Upserter[T]) claimed(ctx context.Context, c Claim, p payload[T], asked time.Time) (Result, error) {
	switch c.Verdict {
	case Won:
	case Finished:
		if p.kind == Record {
			return Result{Ref: c.Ref, Outcome: Unchanged}, nil
		}
		return Result{Ref: c.Ref, Outcome: Replayed}, nil
	case Outdated:
		return Result{Ref: c.Ref, Outcome: Stale}, nil
	default:
		return Result{}, notWon(c)
	}
	ctx, s := begin(ctx, u.config.Store, c, u.config.Lease, asked)
	defer s.end()
	w := &work[T]{u: u, s: s, c: c, p: p}
	defer w.abandoned(ctx)
	if c.State == Doubt {
		return w.settle(ctx)
	}
	return w.send(ctx, p, sending{})
}

// notWon is the error for a claim that somebody else holds or that is refused.
func notWon(c Claim) error {
	switch c.Verdict {
	case Busy:
		return tooEarly(ErrInProgress, c.LeaseUntil.Sub(c.Now))
	case Reused:
		return &dovetail.Error{Fault: dovetail.Invalid, Err: fmt.Errorf("%w: it stands for %s", ErrKeyReused, article(c.Kind))}
	default:
		return dovetail.NewError(dovetail.Permanent, "", "idempotency: the store answered a claim with %s", c.Verdict)
	}
}

func article(k Kind) string {
	if k == Operation {
		return "an operation with another payload"
	}
	return "a write of kind " + k.String()
}
