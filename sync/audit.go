package sync

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/ownership"
)

// A Drift is one difference that an audit found. It holds no values.
type Drift struct {
	Link, Key string
	Ref       dovetail.Ref
	// Field is empty where the record itself is missing, unreadable or not ours.
	Field string
	What  string
}

// Audit lists every record of every system that can be listed and compares it
// with what is held to be right, then names what no listing shows: records that
// are still to be made somewhere. It writes nothing; what it finds, Reconcile
// repairs by the rules, when it is called. It streams, with flat memory. A system
// that cannot be read yields an error, and the audit goes on with the next.
func (l *Link) Audit(ctx context.Context) iter.Seq2[Drift, error] {
	return func(yield func(Drift, error) bool) {
		for _, p := range l.parties {
			if p.list == nil {
				continue
			}
			if !l.auditSystem(ctx, p, yield) {
				return
			}
		}
		l.auditStore(ctx, yield)
	}
}

// errEnough says that the caller has heard enough.
var errEnough = errors.New("sync: the audit was left")

func (l *Link) auditSystem(ctx context.Context, p *party, yield func(Drift, error) bool) bool {
	walk := &absence{link: l, party: p, sorted: true}
	walk.missed = func(r Ref) bool {
		if !walk.sorted {
			return true // it may come later
		}
		return yield(Drift{Link: l.name, Key: r.Key, Ref: dovetail.Ref{System: p.name, ID: r.ID}, What: "it is not in the list"}, nil)
	}
	err := l.listAll(ctx, p, func(pg page) error {
		for _, b := range pg.bad {
			if !yield(Drift{Link: l.name, Ref: dovetail.Ref{System: p.name, ID: b.id}, What: "it could not be read: " + b.err.Error()}, nil) {
				return errEnough
			}
		}
		for _, o := range pg.records {
			if o.deleted {
				continue // as good as not listed
			}
			drifts, err := l.auditRecord(ctx, p, o)
			if err != nil {
				return err
			}
			for _, d := range drifts {
				if !yield(d, nil) {
					return errEnough
				}
			}
		}
		if err := walk.page(ctx, pg); err != nil {
			return err
		}
		if walk.ended {
			return errEnough
		}
		return nil
	})
	switch {
	case errors.Is(err, errEnough):
		return false
	case err != nil:
		return yield(Drift{}, fmt.Errorf("audit %s in %s: %w", l.name, p.name, err))
	case !walk.sorted:
		return yield(Drift{Link: l.name, Ref: dovetail.Ref{System: p.name}, What: "it does not list in byte order of ID, so what is missing there is not known"}, nil)
	}
	return true
}

func (l *Link) auditRecord(ctx context.Context, p *party, o *shown) ([]Drift, error) {
	d := Drift{Link: l.name, Ref: dovetail.Ref{System: p.name, ID: o.id}}
	refs, err := l.store.RecordRefs(ctx, l.name, p.name, []string{o.id})
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", d.Ref, err)
	}
	if len(refs) == 0 || refs[0].State != RefLinked {
		d.What = "it is linked to no record of ours"
		return []Drift{d}, nil
	}
	d.Key = refs[0].Key
	r, err := l.load(ctx, d.Key)
	if errors.Is(err, ErrMalformedState) {
		d.What = "what is stored of it cannot be read"
		return []Drift{d}, nil
	}
	if err != nil {
		return nil, err
	}
	if !r.exists {
		d.What = "its owner deleted it, and it is still there"
		return []Drift{d}, nil
	}
	unknown, err := l.translated(ctx, p, o)
	if err != nil {
		return nil, err
	}
	var out []Drift
	for f, name := range l.rules.fields {
		if unknown >= 0 && f > unknown && l.references[f] != nil {
			continue // not translated, so it cannot be compared
		}
		x := d
		x.Field = name
		if x.What = l.drift(r, p, f, o.values[f]); f == unknown {
			x.What = "it refers to a record that is not known here"
		}
		if x.What != "" {
			out = append(out, x)
		}
	}
	return out, nil
}

// drift says how a field differs from what is held to be right; "" when it does
// not.
func (l *Link) drift(r *record, p *party, f int, v dovetail.Value) string {
	if v.IsAbsent() || l.rules.table.Role(f, p.index) == ownership.Hidden || v == r.values[f] || l.rules.sameThere(p.index, f, r.values[f], v) {
		return ""
	}
	switch sh := &r.shadow[p.index]; {
	case v != sh.ack[f]:
		return "it shows a change that was not observed yet"
	case sh.rev[f] == r.revs[f]:
		return "" // its own spelling of the right value
	case r.isHeld(f):
		return "it waits for a person: " + r.held[f].why
	case sh.refused != nil && sh.refused[f] == r.revs[f]:
		return "it refused the newest value"
	}
	return "it has not received the newest value yet"
}

// translated turns references into our keys, as translateIn does, but asks for
// nothing: an audit writes nothing. It returns the field whose parent is not
// known, -1 when all are.
func (l *Link) translated(ctx context.Context, p *party, o *shown) (unknown int, err error) {
	for f, to := range l.references {
		if to == nil || o.values[f].IsEmpty() {
			continue
		}
		refs, err := to.store.RecordRefs(ctx, to.name, p.name, []string{o.values[f].Text()})
		if err != nil {
			return -1, fmt.Errorf("look up %s of %s: %w", l.rules.fields[f], p.name, err)
		}
		if len(refs) == 0 || refs[0].State != RefLinked {
			return f, nil
		}
		o.values[f] = dovetail.String(refs[0].Key)
	}
	return -1, nil
}

// auditStore names the records that should be in a system and are not, as far as
// the store knows.
func (l *Link) auditStore(ctx context.Context, yield func(Drift, error) bool) {
	const batch = 200
	after := ""
	for {
		rows, err := l.store.ScanRecords(ctx, l.name, AllRecords, after, batch)
		if err != nil {
			yield(Drift{}, fmt.Errorf("audit %s: %w", l.name, err))
			return
		}
		for _, row := range rows {
			after = row.Key
			if !row.Exists || !row.Outstanding && !row.Parked {
				continue
			}
			r, err := l.rules.unmarshal(row)
			if err != nil {
				if !yield(Drift{Link: l.name, Key: row.Key, What: "what is stored of it cannot be read"}, nil) {
					return
				}
				continue
			}
			for s := range r.shadow {
				what := l.absent(r, s)
				if what != "" && !yield(Drift{Link: l.name, Key: r.key, Ref: dovetail.Ref{System: l.rules.systems[s]}, What: what}, nil) {
					return
				}
			}
		}
		if len(rows) < batch {
			return
		}
	}
}

// absent says why a record is not in a system that should have it; "" when it is
// there, or need not be.
func (l *Link) absent(r *record, s int) string {
	switch sh := &r.shadow[s]; {
	case sh.status == linked, sh.status == unlinked, !l.creates(s):
		return ""
	case r.parked != "":
		return "it is not there, and waits for a person: " + r.parked
	case sh.status == creating:
		return "it is being created there, with an outcome that is not known yet"
	case l.waiting(r, s):
		return "it is not there yet: a record that it refers to must come first"
	case l.allRefused(r, s):
		return "it is not there: the system refused it"
	}
	return "it was not created there yet"
}
