package sync

import (
	"context"
	"fmt"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/ownership"
)

// gone takes in that a record no longer exists in a system. A strong read said
// so; absence from a listing alone never leads here.
func (l *Link) gone(ctx context.Context, p *party, id, key string, touch int64) error {
	if key == "" {
		return nil // nothing of ours
	}
	return l.change(ctx, key, func(tx Tx, r *record, notes *journal) (bool, error) {
		sh := &r.shadow[p.index]
		if sh.touch != touch || sh.id != id {
			return false, errMoved
		}
		sh.haunt(l.stamp().Add(p.life())) // what was sent may arrive yet, and even make it anew
		if !r.exists {
			sh.reset() // as it should be
			return true, l.deleted(ctx, tx, p)
		}
		n := note{kind: noteDeleted, key: r.key, system: p.name, rule: "existence", now: l.stamp()}
		switch role := l.rules.table.ExistsRole(p.index); {
		case role == ownership.Owner || role == ownership.Sharer:
			if field := l.unsynced(r, p.index); field != "" {
				r.parked = fmt.Sprintf("deleted in %s while an edit of %q elsewhere had not reached it: Link.Delete removes it everywhere, Link.Resume keeps it elsewhere", p.name, field)
				notes.parked(r.key, "", p.name, r.parked, l.stamp()) // the whole record; the reason names the field
				sh.reset()
				return true, nil
			}
			r.exists = false
			n.why = "its owner deleted it"
			sh.reset()
		default:
			l.foreignDelete(r, p, &n, notes)
		}
		notes.add(n)
		return true, nil
	})
}

// foreignDelete: a system that does not own existence deleted its record.
func (l *Link) foreignDelete(r *record, p *party, n *note, notes *journal) {
	sh := &r.shadow[p.index]
	sh.reset()
	switch l.rules.table.Deletion() {
	case ownership.Unlink:
		sh.status = unlinked
		n.why = "deleted there, which does not own existence: the system goes without it"
	case ownership.AskDeletion:
		r.parked = fmt.Sprintf("deleted in %s, which does not own existence: Link.Resume creates it there again, Link.Delete removes it everywhere", p.name)
		n.why = r.parked
		notes.parked(r.key, "", p.name, r.parked, n.now)
	default:
		n.why = "deleted there, which does not own existence: it is created again"
	}
	notes.add(note{kind: noteTrespass, key: r.key, system: p.name, rule: "existence", why: n.why, now: n.now})
}

// unsynced names a shared field whose newest value a system never received.
func (l *Link) unsynced(r *record, s int) string {
	for f, name := range l.rules.fields {
		if l.rules.table.Role(f, s) == ownership.Sharer && r.revs[f] > 0 && r.shadow[s].rev[f] < r.revs[f] && r.from[f].system != s {
			return name
		}
	}
	return ""
}

// remove deletes the record in a system, because its owner did.
func (l *Link) remove(ctx context.Context, p *party, r *record) error {
	sh := &r.shadow[p.index]
	if wait := sh.haunted(l.stamp()); wait > 0 {
		return later(wait, "a request that was given up on could arrive after the deletion and undo it")
	}
	if err := l.mayDelete(ctx, p); err != nil {
		return err
	}
	var touch int64
	err := l.change(ctx, r.key, func(_ Tx, now *record, _ *journal) (bool, error) {
		s := &now.shadow[p.index]
		if s.touch != sh.touch || now.exists {
			return false, errMoved
		}
		s.unsure = true
		s.touch++
		touch = s.touch
		return true, nil
	})
	if err != nil {
		return err
	}
	if err := p.delete(ctx, sh.id, sh.version); err != nil && dovetail.Classify(err) != dovetail.NotFound {
		err = fmt.Errorf("delete %s:%s: %w", p.name, sh.id, err)
		if c := dovetail.Classify(err); c == dovetail.Unclassified || c == dovetail.InDoubt {
			return &dovetail.Error{Fault: dovetail.Transient, Op: "delete " + l.name, Ref: dovetail.Ref{System: p.name, ID: sh.id}, Err: err}
		}
		return err
	}
	return l.change(ctx, r.key, func(tx Tx, now *record, notes *journal) (bool, error) {
		if now.shadow[p.index].touch != touch {
			return false, errMoved
		}
		now.shadow[p.index].reset()
		notes.add(note{kind: noteDeleted, key: now.key, system: p.name, rule: "existence", why: "its owner deleted it", now: l.stamp()})
		return true, l.deleted(ctx, tx, p)
	})
}
