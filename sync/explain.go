package sync

import (
	"context"
	"fmt"
	"time"

	"github.com/tectari/dovetail"
)

// An Explanation answers "why does this field say that": its value, who set it,
// and what happened to it before, newest first.
type Explanation struct {
	Link, Key, Field string
	Value            dovetail.Value
	// Revision counts how often the value moved.
	Revision uint32
	// System and By set it last; At by that system's clock.
	System dovetail.System
	By     string
	At     time.Time
	// Held says why the field waits for a person; empty when it does not.
	Held string
	// Shown is what each system showed last; Lags names those that have not
	// received the newest value.
	Shown map[dovetail.System]dovetail.Value
	Lags  []dovetail.System
	// History lists decisions, newest first: the rule, the reason, what lost.
	History []Entry
}

// Explain tells how a field of a record came to its value.
func (l *Link) Explain(ctx context.Context, key, field string) (Explanation, error) {
	f, ok := l.schema.index[field]
	if !ok {
		return Explanation{}, fmt.Errorf("sync: link %q has no field %q", l.name, field)
	}
	r, err := l.load(ctx, key)
	if err != nil {
		return Explanation{}, err
	}
	x := Explanation{Link: l.name, Key: key, Field: field, Value: r.values[f], Revision: r.revs[f],
		System: l.rules.nameOf(r.from[f].system), By: r.from[f].by, At: r.from[f].at, Shown: make(map[dovetail.System]dovetail.Value)}
	if r.isHeld(f) {
		x.Held = r.held[f].why
	}
	for s := range r.shadow {
		if r.shadow[s].status == linked {
			x.Shown[l.rules.systems[s]] = r.shadow[s].ack[f]
			if l.rules.lags(r, s, f) {
				x.Lags = append(x.Lags, l.rules.systems[s])
			}
		}
	}
	const newest = 100
	if x.History, err = l.store.RecordHistory(ctx, l.name, key, field, newest); err != nil {
		return Explanation{}, fmt.Errorf("explain %s/%s %s: %w", l.name, key, field, err)
	}
	return x, nil
}

// Key returns our key of the record that a system knows by id, and false when it
// is not linked.
func (l *Link) Key(ctx context.Context, system dovetail.System, id string) (string, bool, error) {
	refs, err := l.store.RecordRefs(ctx, l.name, system, []string{id})
	if err != nil {
		return "", false, fmt.Errorf("look up %s:%s: %w", system, id, err)
	}
	if len(refs) == 0 || refs[0].State != RefLinked {
		return "", false, nil
	}
	return refs[0].Key, true, nil
}

// Counts counts the link's records: how many there are, how many have work
// outstanding, how many wait for a person.
func (l *Link) Counts(ctx context.Context) (Counts, error) { return l.store.CountRecords(ctx, l.name) }

// A ParkedRecord waits for a person.
type ParkedRecord struct {
	Link, Key string
	// Why is the reason for the whole record; Fields those for single fields.
	Why    string
	Fields map[string]string
	// Refused names what a system called invalid, by system.
	Refused map[dovetail.System][]string
}

// Parked lists up to limit records that wait for a person, in key order after a
// key.
func (l *Link) Parked(ctx context.Context, after string, limit int) ([]ParkedRecord, error) {
	rows, err := l.store.ScanRecords(ctx, l.name, Parked, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list parked records of %s: %w", l.name, err)
	}
	var out []ParkedRecord
	for _, row := range rows {
		r, err := l.rules.unmarshal(row)
		if err != nil {
			return nil, err
		}
		p := ParkedRecord{Link: l.name, Key: r.key, Why: r.parked, Fields: make(map[string]string), Refused: make(map[dovetail.System][]string)}
		for f, name := range l.rules.fields {
			if r.isHeld(f) {
				p.Fields[name] = r.held[f].why
			}
			for s := range r.shadow {
				if x := r.shadow[s].refused; x != nil && x[f] == r.revs[f] && x[f] != 0 {
					p.Refused[l.rules.systems[s]] = append(p.Refused[l.rules.systems[s]], name)
				}
			}
		}
		out = append(out, p)
	}
	return out, nil
}
