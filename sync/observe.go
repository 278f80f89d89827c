package sync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
)

// Hint says that something may have changed at a system: a webhook came, a
// person asks. The record is read again soon; its payload is not trusted. A
// version, if known, saves the read when it is the one already seen. Many hints
// for one record become one read.
func (l *Link) Hint(ctx context.Context, system dovetail.System, id, version string) error {
	p, err := l.party(system)
	if err != nil {
		return err
	}
	if id == "" {
		return &dovetail.Error{Fault: dovetail.Invalid, Op: "hint at a record of " + string(system), Err: errors.New("the ID is empty")}
	}
	if version != "" {
		refs, err := l.store.RecordRefs(ctx, l.name, system, []string{id})
		if err != nil {
			return fmt.Errorf("hint at %s:%s: %w", system, id, err)
		}
		if len(refs) == 1 && refs[0].State == RefLinked && refs[0].Version == version {
			return nil
		}
	}
	return l.queue.Tx(ctx, func(ctx context.Context, tx outbox.Tx) error {
		return l.queue.Enqueue(ctx, tx, l.readMessage(p, id))
	})
}

func (l *Link) readMessage(p *party, id string) outbox.Message {
	return outbox.Message{To: l.readFrom(p.index), Topic: "read", Key: id}
}

// attempts is how often a read is repeated when the record moved meanwhile,
// before it goes back to the queue.
const attempts = 5

// observe reads a record strongly and takes it in.
func (l *Link) observe(ctx context.Context, p *party, id string) error {
	for range attempts {
		err := l.observeOnce(ctx, p, id)
		if !errors.Is(err, errMoved) && !errors.Is(err, ErrStale) {
			return err
		}
	}
	return later(time.Second, "the record is being written")
}

// laterError says that the work cannot be done yet, through nobody's fault.
type laterError struct {
	after time.Duration
	why   string
}

func (e *laterError) Error() string { return "not yet: " + e.why }

func later(after time.Duration, why string) error { return &laterError{after: after, why: why} }

// forQueue turns "not yet" into the queue's word for it.
func forQueue(err error) error {
	if wait, ok := errors.AsType[*laterError](err); ok {
		return outbox.Defer(wait.after, wait.why)
	}
	return err
}

func (l *Link) observeOnce(ctx context.Context, p *party, id string) error {
	key, touch, err := l.seenAt(ctx, p, id)
	if err != nil {
		return err
	}
	o, err := p.get(ctx, id)
	switch {
	case dovetail.Classify(err) == dovetail.NotFound, err == nil && o.deleted:
		return l.gone(ctx, p, id, key, touch)
	case err != nil:
		return fmt.Errorf("read %s:%s: %w", p.name, id, err)
	}
	if err := l.translateIn(ctx, p, o); err != nil {
		return err
	}
	if key == "" {
		return l.takeNew(ctx, p, o)
	}
	return l.change(ctx, key, func(tx Tx, r *record, notes *journal) (bool, error) {
		if r.shadow[p.index].touch != touch || r.shadow[p.index].id != id {
			return false, errMoved
		}
		changed, err := l.merge(ctx, tx, r, p, o, l.stamp(), notes)
		if err != nil || !changed {
			return false, err
		}
		return true, l.heardIn(ctx, tx, p)
	})
}

// seenAt returns the key of the record that a system knows by id, and the touch
// of its shadow: what is read after this is news only while the touch stands.
func (l *Link) seenAt(ctx context.Context, p *party, id string) (key string, touch int64, err error) {
	refs, err := l.store.RecordRefs(ctx, l.name, p.name, []string{id})
	if err != nil {
		return "", 0, fmt.Errorf("look up %s:%s: %w", p.name, id, err)
	}
	if len(refs) == 0 || refs[0].State == RefAlias {
		return "", 0, nil
	}
	r, err := l.load(ctx, refs[0].Key)
	if err != nil {
		return "", 0, err
	}
	return r.key, r.shadow[p.index].touch, nil
}

// takeNew takes in a record that was not linked when it was read.
func (l *Link) takeNew(ctx context.Context, p *party, o *shown) error {
	var notes *journal
	err := l.store.UpdateRecords(ctx, func(tx Tx) error {
		notes = &journal{}
		return l.takeNewIn(ctx, tx, p, o, notes)
	})
	if err != nil {
		return err
	}
	l.queue.Wake()
	l.report(ctx, notes)
	return nil
}

func (l *Link) takeNewIn(ctx context.Context, tx Tx, p *party, o *shown, notes *journal) error {
	r, err := l.identify(ctx, tx, p, o, notes)
	if err != nil || r == nil {
		return err
	}
	l.rules.merge(ctx, r, p.index, o, l.stamp(), notes)
	if err := l.heardIn(ctx, tx, p); err != nil {
		return err
	}
	if err := l.save(ctx, tx, r, notes); err != nil || r.seq == 1 {
		return err // nobody waits for a record that is new
	}
	return l.wake(ctx, tx, p, r.key)
}
