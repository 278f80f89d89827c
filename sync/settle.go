package sync

import (
	"context"
	"errors"
	"fmt"

	"github.com/tectari/dovetail"
)

// Settle ends the wait of a parked field: a person decided for value. The
// decision is recorded with who made it and why, and travels like any change. Who
// was told of the problem is told that it is over, once no record waits for it any
// more: Run looks once a minute.
func (l *Link) Settle(ctx context.Context, key, field string, value dovetail.Value, by, why string) error {
	f, ok := l.schema.index[field]
	if !ok {
		return fmt.Errorf("sync: link %q has no field %q", l.name, field)
	}
	if by == "" || why == "" {
		return errors.New("sync: Settle: say who decides, and why")
	}
	return l.change(ctx, key, func(_ Tx, r *record, notes *journal) (bool, error) {
		if owner, owned := l.rules.table.Owner(f); owned && value != r.values[f] {
			return false, fmt.Errorf("sync: settle %s/%s: %q is owned by %s; change it there, or settle for the owner's value", l.name, key, field, l.rules.systems[owner])
		}
		l.rules.set(r, f, value, origin{system: -1, at: l.stamp(), by: by}, l.stamp(), "person", why, notes)
		r.release(f)
		for s := range r.shadow {
			if r.shadow[s].ack[f] == value {
				r.shadow[s].rev[f] = r.revs[f]
			}
		}
		notes.add(note{kind: noteSettled, key: key, field: field, rule: "person", why: why, by: by, now: l.stamp()})
		return true, nil
	})
}

// Resume ends the wait of a parked record and of what a system refused: whatever
// held it was mended, so everything that is left to do is tried again.
func (l *Link) Resume(ctx context.Context, key, by, why string) error {
	if by == "" || why == "" {
		return errors.New("sync: Resume: say who decides, and why")
	}
	return l.change(ctx, key, func(_ Tx, r *record, notes *journal) (bool, error) {
		r.parked = ""
		for s := range r.shadow {
			r.shadow[s].refused = nil
		}
		notes.add(note{kind: noteSettled, key: key, rule: "person", why: why, by: by, now: l.stamp()})
		return true, nil
	})
}

// Delete removes the record everywhere, because a person says so: in every
// system that does not own existence, and for good.
func (l *Link) Delete(ctx context.Context, key, by, why string) error {
	if by == "" || why == "" {
		return errors.New("sync: Delete: say who decides, and why")
	}
	return l.change(ctx, key, func(_ Tx, r *record, notes *journal) (bool, error) {
		r.parked, r.exists = "", false
		notes.add(note{kind: noteDeleted, key: key, rule: "person", why: why, by: by, now: l.stamp()})
		return true, nil
	})
}
