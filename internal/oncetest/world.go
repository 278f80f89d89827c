package oncetest

import (
	"context"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/idempotency"
)

// An Invoice is what is written.
type Invoice struct {
	Number string `json:"number"`
	Cents  int64  `json:"cents"`
}

// A Timing is how long things take in a world.
type Timing struct {
	Lease, RequestLife, FindLag, KeyWindow time.Duration
	// Backoff is how long a queue waits after the first failure, MaxBackoff at most.
	Backoff, MaxBackoff time.Duration
	// Quiet is after how long everything has arrived that ever will.
	Quiet time.Duration
}

// Real is the timing that the documentation speaks of. It needs a fake clock.
var Real = Timing{
	Lease: 30 * time.Second, RequestLife: time.Minute, FindLag: 30 * time.Second, KeyWindow: 6 * time.Minute,
	Backoff: time.Second, MaxBackoff: 15 * time.Minute, Quiet: time.Hour,
}

// A World is one target and one ledger.
type World struct {
	Timing
	Class  byte // A, B, C or D; b is B with a search
	Target *dovetailtest.Target[Invoice]
	Store  idempotency.Store
	Key    idempotency.Key
}

// NewWorld returns a world whose target is of a class.
func NewWorld(class byte, store idempotency.Store, timing Timing) *World {
	c := dovetailtest.TargetConfig{FindLag: timing.FindLag, Late: timing.RequestLife / 2}
	if class == 'B' || class == 'b' {
		c.KeyWindow = timing.KeyWindow
	}
	return &World{
		Timing: timing, Class: class, Target: dovetailtest.NewTarget[Invoice](c), Store: store,
		Key: idempotency.Key{Scope: "acme/store>accounting/invoice", ID: "4711"},
	}
}

// capabilities are the target's functions of a class, called by p.
func (w *World) capabilities(p *Process) idempotency.Target[Invoice] {
	var t idempotency.Target[Invoice]
	call := func(ctx context.Context, k idempotency.Key, v Invoice) (ref idempotency.Ref, err error) {
		err = p.at("call", func() error { ref, err = w.Target.Create(ctx, k, v); return err })
		return ref, err
	}
	switch w.Class {
	case 'A':
		t.Upsert = func(ctx context.Context, k idempotency.Key, v Invoice) (ref idempotency.Ref, made bool, err error) {
			err = p.at("call", func() error { ref, made, err = w.Target.Upsert(ctx, k, v); return err })
			return ref, made, err
		}
	case 'B', 'b':
		t.Create, t.KeyWindow = call, w.KeyWindow
	default:
		t.Create = call
	}
	if w.Class == 'C' || w.Class == 'b' {
		t.Find, t.FindLag = w.Target.Find, w.FindLag
	}
	t.Update = w.Target.Update
	return t
}

// Upserter returns the upserter of a process.
func (w *World) Upserter(t require.TestingT, p *Process) *idempotency.Upserter[Invoice] {
	p.Store = w.Store
	u, err := idempotency.NewUpserter(idempotency.Config[Invoice]{
		Store: p, Target: w.capabilities(p), OnDoubt: idempotency.Park, Lease: w.Lease, RequestLife: w.RequestLife, Observer: Quiet{},
	})
	require.NoError(t, err)
	return u
}

// Quiet is an observer that says nothing.
type Quiet struct{}

// Start returns ctx.
func (Quiet) Start(ctx context.Context, _ dovetail.Event) context.Context { return ctx }

// Record does nothing.
func (Quiet) Record(context.Context, dovetail.Event) {}

// Persist asks for the write as a queue would: again after each failure, later
// each time, until it is done or waits for a person. It reports the latter.
func (w *World) Persist(t require.TestingT, p *Process, v Invoice) (res idempotency.Result, parked bool) {
	u := w.Upserter(t, p)
	backoff := w.Backoff
	for range 60 {
		var err error
		res, err = u.Create(context.Background(), w.Key, v)
		if err == nil {
			return res, false
		}
		if dovetail.Classify(err) == dovetail.InDoubt {
			return res, true
		}
		if after, ok := idempotency.WaitOf(err); ok {
			time.Sleep(after)
			continue
		}
		if p.Dead() {
			p = &Process{} // the next one
			u = w.Upserter(t, p)
		}
		time.Sleep(backoff)
		backoff = min(2*backoff, w.MaxBackoff)
	}
	require.FailNow(t, "neither done nor parked after 60 attempts")
	return res, false
}

// Answer is a person who looks into the target and says what is there.
func (w *World) Answer(t require.TestingT) {
	time.Sleep(w.Quiet)
	a := idempotency.DidNotHappen()
	if refs := w.Target.Of(w.Key); len(refs) > 0 {
		a = idempotency.Happened(refs[0])
	}
	require.NoError(t, idempotency.Resolve(context.Background(), w.Store, w.Key, a, "ann"))
}

// Settled checks that there is one record, and that the ledger names it.
func (w *World) Settled(t require.TestingT) {
	time.Sleep(w.Quiet)
	refs := w.Target.Of(w.Key)
	require.Len(t, refs, 1, "records in the target")
	e, found, err := w.Store.Get(context.Background(), w.Key)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, idempotency.Done, e.State)
	require.Equal(t, refs[0].ID, e.Ref.ID)
}

// InDoubt reports whether the write waits for a person, once all workers have gone.
func (w *World) InDoubt(t require.TestingT) bool {
	e, _, err := w.Store.Get(context.Background(), w.Key)
	require.NoError(t, err)
	return e.State == idempotency.Doubt || e.State == idempotency.Sending
}

// Finish lets a person answer where one is asked, and the write go on.
func (w *World) Finish(t require.TestingT, v Invoice, parked bool) {
	for parked {
		require.Equal(t, byte('D'), w.Class, "only a class D doubt waits for a person")
		w.Answer(t)
		_, parked = w.Persist(t, &Process{}, v)
	}
	w.Settled(t)
}

// Value is what the one record holds.
func (w *World) Value(t require.TestingT) Invoice {
	refs := w.Target.Of(w.Key)
	require.Len(t, refs, 1, "records in the target")
	v, ok := w.Target.Value(refs[0].ID)
	require.True(t, ok)
	return v
}
