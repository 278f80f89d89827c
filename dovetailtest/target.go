package dovetailtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/idempotency"
)

// A TargetFault is how one write to a Target goes wrong.
type TargetFault uint8

// The faults. The zero fault is none.
const (
	// TargetObeys: the write is done and answered.
	TargetObeys TargetFault = iota
	// TargetLosesRequest: nothing arrives; the caller sees a timeout.
	TargetLosesRequest
	// TargetLosesReply: the write is done; the caller sees a timeout.
	TargetLosesReply
	// TargetActsLate: the caller sees a timeout, and TargetConfig.Late afterwards the
	// write is done.
	TargetActsLate
	// TargetAnswers500: nothing is done; the caller sees a 500.
	TargetAnswers500
	// TargetActsAndAnswers500: the write is done; the caller sees a 500.
	TargetActsAndAnswers500
	// TargetAnswers429: nothing is done and the answer says so.
	TargetAnswers429
	// TargetAnswers400: nothing is done and the answer says so.
	TargetAnswers400
)

// A TargetConfig says what a Target's API does. The zero value is an API that
// remembers no keys and finds at once.
type TargetConfig struct {
	// KeyWindow is how long an idempotency key is remembered. Zero: not at all.
	KeyWindow time.Duration
	// FindLag is how long a new record stays invisible to Find.
	FindLag time.Duration
	// Late is how long a request travels that arrives late.
	Late time.Duration
	// StoreErrors: a 500 is remembered under its key and answered again.
	StoreErrors bool
	// Refuse409: a key that made a record is answered with 409 and not with the
	// record.
	Refuse409 bool
}

// A Target is a system in memory whose API misbehaves as real ones do: it drops
// replies, shows new records late in its search, forgets idempotency keys after a
// while, answers a stored 500 again. Its methods fit the functions of an
// idempotency.Target; which of them are used makes the class. It runs on package
// time, so that testing/synctest can hurry it. Make one with NewTarget; it is safe
// for concurrent use.
type Target[T any] struct {
	config TargetConfig

	mu      sync.Mutex
	records []targetRecord[T]
	keys    map[string]targetKey
	late    []lateWrite
	now     time.Time // when the write that is being done arrived
	faults  []TargetFault
	calls   int
}

type targetRecord[T any] struct {
	id      string
	key     idempotency.Key
	value   T
	version int
	made    time.Time
}

type targetKey struct {
	at  time.Time
	id  string
	err error
}

type lateWrite struct {
	at time.Time
	do func()
}

// errTargetTimeout is what the caller of a lost request or reply sees.
var errTargetTimeout = errors.New("dovetailtest: timeout")

// NewTarget returns a target without records.
func NewTarget[T any](c TargetConfig) *Target[T] {
	return &Target[T]{config: c, keys: make(map[string]targetKey)}
}

// Fail lets the next writes go wrong, one fault each.
func (t *Target[T]) Fail(faults ...TargetFault) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults = append(t.faults, faults...)
}

// Calls returns how many writes were sent, lost ones included.
func (t *Target[T]) Calls() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.calls
}

// Of returns the records that were made for a key, whether Find shows them yet or
// not: more than one is a duplicate.
func (t *Target[T]) Of(k idempotency.Key) []idempotency.Ref {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.arrive()
	var refs []idempotency.Ref
	for _, r := range t.records {
		if r.key == k {
			refs = append(refs, r.ref())
		}
	}
	return refs
}

// Value returns what a record holds, and false if there is none.
func (t *Target[T]) Value(id string) (T, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.arrive()
	for _, r := range t.records {
		if r.id == id {
			return r.value, true
		}
	}
	var none T
	return none, false
}

// Upsert makes or changes the record of a key.
func (t *Target[T]) Upsert(ctx context.Context, k idempotency.Key, v T) (ref idempotency.Ref, created bool, err error) {
	ref, err = t.write(ctx, func() (idempotency.Ref, error) {
		if i := t.index(func(r targetRecord[T]) bool { return r.key == k }); i >= 0 {
			return t.set(i, v), nil
		}
		created = true
		return t.make(k, v), nil
	})
	return ref, created && err == nil, err
}

// Create makes a record, or, where k.UUID() is remembered as idempotency key,
// answers as before.
func (t *Target[T]) Create(ctx context.Context, k idempotency.Key, v T) (idempotency.Ref, error) {
	return t.CreateWith(ctx, k, k.UUID(), v)
}

// CreateWith is Create with an idempotency key of the caller's choice.
func (t *Target[T]) CreateWith(ctx context.Context, k idempotency.Key, key string, v T) (idempotency.Ref, error) {
	return t.write(ctx, func() (idempotency.Ref, error) {
		seen, ok := t.keys[key]
		known := ok && t.config.KeyWindow > 0 && t.now.Sub(seen.at) < t.config.KeyWindow
		switch {
		case known && seen.err != nil:
			return idempotency.Ref{}, seen.err
		case known && t.config.Refuse409:
			return idempotency.Ref{}, dovetail.NewError(dovetail.Conflict, "", "key was used")
		case known:
			return idempotency.Ref{ID: seen.id}, nil
		}
		ref := t.make(k, v)
		t.keys[key] = targetKey{at: t.now, id: ref.ID}
		return ref, nil
	}, key)
}

// Update changes a record; with a version, only if it is still that one.
func (t *Target[T]) Update(ctx context.Context, ref idempotency.Ref, v T) (idempotency.Ref, error) {
	return t.write(ctx, func() (idempotency.Ref, error) {
		i := t.index(func(r targetRecord[T]) bool { return r.id == ref.ID })
		switch {
		case i < 0:
			return idempotency.Ref{}, dovetail.NewError(dovetail.NotFound, "", "no such record")
		case ref.Version != "" && ref.Version != t.records[i].ref().Version:
			return idempotency.Ref{}, dovetail.NewError(dovetail.Conflict, "", "version moved")
		}
		return t.set(i, v), nil
	})
}

// Find returns the records of a key that are older than FindLag.
func (t *Target[T]) Find(ctx context.Context, k idempotency.Key, _ T) ([]idempotency.Ref, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.arrive()
	var refs []idempotency.Ref
	for _, r := range t.records {
		if r.key == k && time.Since(r.made) >= t.config.FindLag {
			refs = append(refs, r.ref())
		}
	}
	return refs, nil
}

// write does one write, with the fault that is due.
func (t *Target[T]) write(ctx context.Context, do func() (idempotency.Ref, error), key ...string) (idempotency.Ref, error) {
	if err := ctx.Err(); err != nil {
		return idempotency.Ref{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.arrive()
	t.calls++
	fault := TargetObeys
	if len(t.faults) > 0 {
		fault, t.faults = t.faults[0], t.faults[1:]
	}
	broken := &dovetail.Error{Fault: dovetail.Unavailable, Code: "500", Err: errors.New("the target broke")}
	switch fault {
	case TargetLosesRequest:
		return idempotency.Ref{}, errTargetTimeout
	case TargetActsLate:
		t.late = append(t.late, lateWrite{at: time.Now().Add(t.config.Late), do: func() { _, _ = do() }}) // its reply is lost
		return idempotency.Ref{}, errTargetTimeout
	case TargetLosesReply, TargetActsAndAnswers500:
		if _, err := do(); err != nil {
			return idempotency.Ref{}, err
		}
		if fault == TargetLosesReply {
			return idempotency.Ref{}, errTargetTimeout
		}
		return idempotency.Ref{}, broken
	case TargetAnswers500:
		if t.config.StoreErrors {
			for _, k := range key {
				t.keys[k] = targetKey{at: t.now, err: broken}
			}
		}
		return idempotency.Ref{}, broken
	case TargetAnswers429:
		return idempotency.Ref{}, &dovetail.Error{Fault: dovetail.RateLimited, Code: "429", After: time.Second}
	case TargetAnswers400:
		return idempotency.Ref{}, &dovetail.Error{Fault: dovetail.Invalid, Code: "400"}
	default:
		return do()
	}
}

// arrive does the writes whose time has come, each at its time, and sets now.
func (t *Target[T]) arrive() {
	slices.SortStableFunc(t.late, func(a, b lateWrite) int { return a.at.Compare(b.at) })
	for len(t.late) > 0 && !t.late[0].at.After(time.Now()) {
		w := t.late[0]
		t.late = t.late[1:]
		t.now = w.at
		w.do()
	}
	t.now = time.Now()
}

func (t *Target[T]) index(is func(targetRecord[T]) bool) int { return slices.IndexFunc(t.records, is) }

func (t *Target[T]) make(k idempotency.Key, v T) idempotency.Ref {
	r := targetRecord[T]{id: fmt.Sprintf("rec-%d", len(t.records)+1), key: k, value: v, version: 1, made: t.now}
	t.records = append(t.records, r)
	return r.ref()
}

func (t *Target[T]) set(i int, v T) idempotency.Ref {
	t.records[i].value = v
	t.records[i].version++
	return t.records[i].ref()
}

func (r targetRecord[T]) ref() idempotency.Ref {
	return idempotency.Ref{ID: r.id, Version: strconv.Itoa(r.version)}
}
