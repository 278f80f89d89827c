package sync

import (
	"context"
	"fmt"
	"time"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/ownership"
)

// identify finds the record that an unlinked observation belongs to, links it,
// or makes a new record. It returns nil when the observation belongs to nothing
// that we keep, with the reason in notes, and an error to wait when that
// cannot be known yet.
func (l *Link) identify(ctx context.Context, tx Tx, p *party, o *shown, notes *journal) (*record, error) {
	found, err := tx.Find(ctx, Lookup{Link: l.name, By: ByRemote, System: p.name, Value: o.id}, 2)
	if err != nil {
		return nil, fmt.Errorf("look up %s:%s: %w", p.name, o.id, err)
	}
	if len(found) > 0 {
		return l.relink(ctx, tx, p, o, found[0], notes)
	}
	if o.key != "" {
		if r, err := l.ours(ctx, tx, p, o, notes); r != nil || err != nil {
			return r, err
		}
	}
	if !p.can.StoresKey || o.key != "" {
		if err := l.mayBeOurs(ctx, tx, p, o); err != nil {
			return nil, err
		}
	}
	keys, err := l.matches(ctx, tx, p, o)
	if err != nil {
		return nil, err
	}
	switch {
	case len(keys) == 1:
		return l.linkTo(ctx, tx, p, o, keys[0], "a match field has the same value", notes)
	case len(keys) > 1:
		return nil, l.ambiguous(ctx, tx, p, o, keys, notes)
	}
	if role := l.rules.table.ExistsRole(p.index); role != ownership.Owner && role != ownership.Sharer {
		notes.add(note{kind: noteParked, key: o.id, system: p.name, rule: ruleStray, why: fmt.Sprintf("a record appeared in %s, which does not own existence, and matches none of ours", p.name), now: l.stamp()})
		return nil, nil
	}
	r := newRecord(l.newKey(), len(l.rules.fields), len(l.rules.systems))
	l.attach(r, p, o)
	notes.add(note{kind: noteCreated, key: r.key, system: p.name, rule: "existence", why: "it appeared there", by: o.by, at: o.at, now: l.stamp()})
	return r, nil
}

// relink takes a record back that was gone from the system and is there again
// under its old ID.
func (l *Link) relink(ctx context.Context, tx Tx, p *party, o *shown, key string, notes *journal) (*record, error) {
	row, ok, err := tx.Load(ctx, l.name, key)
	if err != nil {
		return nil, fmt.Errorf("load %s/%s: %w", l.name, key, err)
	}
	if !ok {
		return nil, errMoved
	}
	r, err := l.rules.unmarshal(row)
	if err != nil {
		return nil, err
	}
	switch r.shadow[p.index].status {
	case linked: // since it was read: what was read is old
		return nil, errMoved
	case creating:
		return nil, later(time.Second, "our own create of this record is not settled yet")
	}
	l.attach(r, p, o)
	notes.add(note{kind: noteAdopted, key: r.key, system: p.name, rule: "alias", why: "it is there again under its old ID", now: l.stamp()})
	return r, nil
}

// ours follows our key, where the system stores it.
func (l *Link) ours(ctx context.Context, tx Tx, p *party, o *shown, notes *journal) (*record, error) {
	row, ok, err := tx.Load(ctx, l.name, o.key)
	if err != nil {
		return nil, fmt.Errorf("load %s/%s: %w", l.name, o.key, err)
	}
	if !ok {
		return nil, nil // somebody else's text in that place
	}
	r, err := l.rules.unmarshal(row)
	if err != nil {
		return nil, err
	}
	sh := &r.shadow[p.index]
	switch {
	case sh.status == linked:
		notes.add(note{kind: noteParked, key: r.key, system: p.name, rule: ruleStray, why: fmt.Sprintf("%s:%s carries the key of a record that is linked to %s:%s: a duplicate, made by hand or by a copy", p.name, o.id, p.name, sh.id), now: l.stamp()})
		return nil, l.noteOnly(ctx, tx, notes)
	case sh.status == creating:
		// Our own create, seen before its reply was recorded. The ledger must
		// learn of it first, or it would create again.
		return nil, later(time.Second, "our own create of this record is not settled yet")
	}
	l.attach(r, p, o)
	notes.add(note{kind: noteAdopted, key: r.key, system: p.name, rule: "key", why: "it carries our key", now: l.stamp()})
	return r, nil
}

// noteOnly makes notes durable without a record.
func (l *Link) noteOnly(ctx context.Context, tx Tx, notes *journal) error {
	c := Changes{Link: l.name}
	for _, n := range notes.notes {
		c.Entries = append(c.Entries, l.entry(n))
	}
	return tx.Write(ctx, c)
}

// mayBeOurs defers an unknown record while one of our creates in that system is
// unsettled and could have made it.
func (l *Link) mayBeOurs(ctx context.Context, tx Tx, p *party, o *shown) error {
	const enough = 100
	open, err := tx.Find(ctx, Lookup{Link: l.name, By: ByCreating, System: p.name}, enough)
	if err != nil {
		return fmt.Errorf("look up open creates in %s: %w", p.name, err)
	}
	for _, key := range open {
		row, ok, err := tx.Load(ctx, l.name, key)
		if err != nil {
			return fmt.Errorf("load %s/%s: %w", l.name, key, err)
		}
		if !ok {
			continue
		}
		r, err := l.rules.unmarshal(row)
		if err != nil {
			return err
		}
		if len(open) == enough || l.couldBe(r, p, o) {
			return later(2*time.Second, "one of our own creates in this system is not settled yet")
		}
	}
	return nil
}

// couldBe: nothing that was sent for r rules out that o is what became of it.
func (l *Link) couldBe(r *record, p *party, o *shown) bool {
	sh := &r.shadow[p.index]
	for _, f := range l.match {
		if sh.pendRev == nil || sh.pendRev[f] == 0 || o.values[f].IsEmpty() {
			continue
		}
		if sh.pend[f] != o.values[f] && !l.rules.sameThere(p.index, f, sh.pend[f], o.values[f]) {
			return false
		}
	}
	return true
}

// matches finds records of ours by the match fields, in their order; the first
// field that finds any decides.
func (l *Link) matches(ctx context.Context, tx Tx, p *party, o *shown) ([]string, error) {
	for _, f := range l.match {
		if o.values[f].IsEmpty() {
			continue
		}
		keys, err := tx.Find(ctx, Lookup{Link: l.name, By: ByMatch, Field: l.rules.fields[f], Value: o.values[f].Text()}, 3)
		if err != nil {
			return nil, fmt.Errorf("match %s:%s by %s: %w", p.name, o.id, l.rules.fields[f], err)
		}
		if len(keys) > 0 {
			return keys, nil
		}
	}
	return nil, nil
}

func (l *Link) linkTo(ctx context.Context, tx Tx, p *party, o *shown, key, why string, notes *journal) (*record, error) {
	row, ok, err := tx.Load(ctx, l.name, key)
	if err != nil {
		return nil, fmt.Errorf("load %s/%s: %w", l.name, key, err)
	}
	if !ok {
		return nil, errMoved
	}
	r, err := l.rules.unmarshal(row)
	if err != nil {
		return nil, err
	}
	switch r.shadow[p.index].status {
	case linked:
		return nil, l.ambiguous(ctx, tx, p, o, []string{key}, notes)
	case creating:
		return nil, later(time.Second, "our own create of this record is not settled yet")
	}
	l.attach(r, p, o)
	notes.add(note{kind: noteAdopted, key: r.key, system: p.name, rule: "match", why: why, now: l.stamp()})
	return r, nil
}

// ambiguous parks an observation that could belong to several records, or to one
// that is linked already. It is never guessed.
func (l *Link) ambiguous(ctx context.Context, tx Tx, p *party, o *shown, keys []string, notes *journal) error {
	for _, key := range keys {
		notes.add(note{kind: noteParked, key: key, system: p.name, rule: ruleStray, now: l.stamp(),
			why: fmt.Sprintf("%s:%s has the same match value as a record that it may not be: link or merge them by hand", p.name, o.id)})
	}
	return l.noteOnly(ctx, tx, notes)
}

// attach links the record to what the system calls it.
func (l *Link) attach(r *record, p *party, o *shown) {
	sh := &r.shadow[p.index]
	sh.status, sh.id, sh.version = linked, o.id, ""
	sh.touch++
	if l.rules.table.ExistsRole(p.index) == ownership.Owner {
		r.exists = true
	}
}

// translateIn turns the IDs of other records, as a system shows them, into our
// keys. A parent that is not known yet is asked for, and the observation waits.
func (l *Link) translateIn(ctx context.Context, p *party, o *shown) error {
	for f, to := range l.references {
		if to == nil || o.values[f].IsEmpty() {
			continue
		}
		id := o.values[f].Text()
		refs, err := to.store.RecordRefs(ctx, to.name, p.name, []string{id})
		if err != nil {
			return fmt.Errorf("look up %s %s:%s: %w", l.rules.fields[f], p.name, id, err)
		}
		if len(refs) == 0 || refs[0].State != RefLinked {
			if err := to.Hint(ctx, p.name, id, ""); err != nil {
				return err
			}
			return later(time.Second, fmt.Sprintf("waits for %s:%s of link %q", p.name, id, to.name))
		}
		o.values[f] = dovetail.String(refs[0].Key)
	}
	return nil
}
