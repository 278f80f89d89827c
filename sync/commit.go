package sync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/ownership"
)

// errMoved says that the record was read or written by somebody else since we
// looked: what we know is old, look again.
var errMoved = errors.New("sync: the record moved meanwhile")

// deliveringTo is the context key of the system that a delivery is about. What
// the delivery itself changes needs no second message for that system: the one
// under way ends only when nothing is left to do, or stays in the queue.
type deliveringTo struct{}

// save stores the record with what was decided, and enqueues a message for each
// system that now lags. It is the only place that writes state, so a change and
// the messages it causes always commit together.
func (l *Link) save(ctx context.Context, tx Tx, r *record, notes *journal) error {
	c := Changes{Link: l.name, Row: &Row{Link: l.name, Key: r.key, Seq: r.seq, Exists: r.exists, Body: l.rules.marshal(r)}}
	c.Row.Parked = r.held != nil || r.parked != ""
	var messages []outbox.Message
	for s := range r.shadow {
		switch l.outstanding(r, s) {
		case workNow:
			c.Row.Outstanding = true
			if ctx.Value(deliveringTo{}) != l.rules.systems[s] {
				messages = append(messages, outbox.Message{To: l.writeTo(s), Topic: "write", Key: r.key})
			}
		case workWaits:
			c.Row.Outstanding = true
		case workRefused:
			c.Row.Parked = true
		}
		c.Refs = append(c.Refs, l.refsOf(r, s)...)
	}
	for _, f := range l.match {
		if v := r.values[f]; r.exists && r.revs[f] > 0 && !v.IsEmpty() {
			if c.Matches == nil {
				c.Matches = make(map[string]string)
			}
			c.Matches[l.rules.fields[f]] = v.Text()
		}
	}
	for _, w := range r.waits {
		c.Waits = append(c.Waits, Wait{ParentLink: w.link, ParentKey: w.key, System: l.rules.systems[w.system]})
	}
	for _, n := range notes.notes {
		c.Entries = append(c.Entries, l.entry(n))
	}
	if err := tx.Write(ctx, c); err != nil {
		return fmt.Errorf("store %s/%s: %w", l.name, r.key, err)
	}
	r.seq++
	if len(messages) == 0 {
		return nil
	}
	if err := l.queue.Enqueue(ctx, tx.Outbox(), messages...); err != nil {
		return fmt.Errorf("enqueue writes of %s/%s: %w", l.name, r.key, err)
	}
	return nil
}

func (l *Link) entry(n note) Entry {
	e := Entry{Link: l.name, Key: n.key, Field: n.field, System: n.system, Kind: string(n.kind), Rule: n.rule, Why: n.why, By: n.by, At: n.at, Seen: n.now}
	if !n.old.IsAbsent() {
		e.Old = n.old.Encode()
	}
	if !n.new.IsAbsent() {
		e.New = n.new.Encode()
	}
	return e
}

// refsOf are the rows that lead from a system's IDs to the record.
func (l *Link) refsOf(r *record, s int) []Ref {
	sh := &r.shadow[s]
	ref := Ref{Link: l.name, System: l.rules.systems[s], ID: sh.id, Key: r.key, Version: sh.version, Shown: digest(sh.ack)}
	switch sh.status {
	case linked:
		ref.State = RefLinked
	case creating:
		ref.State, ref.ID = RefCreating, ""
	}
	var refs []Ref
	if ref.State != 0 {
		refs = append(refs, ref)
	}
	for _, id := range sh.aliases {
		if id != ref.ID {
			refs = append(refs, Ref{Link: l.name, System: ref.System, ID: id, Key: r.key, State: RefAlias})
		}
	}
	return refs
}

type work uint8

const (
	workNone work = iota
	workNow
	workWaits   // a parent must exist there first
	workRefused // the system called it invalid; a change or a person tries again
)

// outstanding says what is left to do for the record in a system.
func (l *Link) outstanding(r *record, s int) work {
	sh := &r.shadow[s]
	if sh.status == unlinked {
		return workNone
	}
	if sh.pending() || sh.status == creating {
		return workNow
	}
	if r.parked != "" {
		return workNone
	}
	if !r.exists {
		if sh.status == linked && l.parties[s].delete != nil && l.rules.table.ExistsRole(s) != ownership.Owner {
			return workNow
		}
		return workNone
	}
	if sh.status == unknown {
		switch {
		case !l.creates(s):
			return workNone
		case l.waiting(r, s):
			return workWaits
		case l.allRefused(r, s):
			return workRefused
		}
		return workNow
	}
	out := workNone
	for f := range r.values {
		if l.rules.lags(r, s, f) {
			if sh.refused == nil || sh.refused[f] != r.revs[f] {
				return workNow
			}
			out = workRefused
		}
	}
	return out
}

// allRefused: the system refused to create the record as it still is.
func (l *Link) allRefused(r *record, s int) bool {
	sh := &r.shadow[s]
	if sh.refused == nil {
		return false
	}
	for f := range r.values {
		if l.rules.lags(r, s, f) && sh.refused[f] != r.revs[f] {
			return false
		}
	}
	return true
}

// creates: records are made in that system by us.
func (l *Link) creates(s int) bool {
	role := l.rules.table.ExistsRole(s)
	return (role == ownership.Reader || role == ownership.Sharer) && l.creators[s] != nil
}

func (l *Link) waiting(r *record, s int) bool {
	for _, w := range r.waits {
		if w.system == s {
			return true
		}
	}
	return false
}

// lags: the system has not shown the newest revision of a field that is written
// there.
func (u *rules) lags(r *record, s, f int) bool {
	role := u.table.Role(f, s)
	return (role == ownership.Reader || role == ownership.Sharer) && r.revs[f] > 0 && r.shadow[s].rev[f] < r.revs[f] && !r.isHeld(f)
}

// report tells observer and alerts what was decided, after it is durable.
func (l *Link) report(ctx context.Context, notes *journal) {
	for _, n := range notes.notes {
		e := dovetail.Event{Name: "sync." + string(n.kind), Time: n.now, Link: l.name, System: n.system, Key: n.key, Field: n.field, Outcome: n.rule, Why: n.why}
		l.observer.Record(ctx, e)
		p := alert.Problem{Link: l.name, System: n.system, Field: n.field, Sample: l.name + "/" + n.key, Why: n.why, Count: 1, At: n.now}
		switch n.kind {
		case noteTrespass:
			p.Rule, p.Title = alert.Trespass, fmt.Sprintf("%s changed %q, which it does not own", n.system, n.field)
		case noteParked:
			if p.Code = n.rule; n.rule == "" && n.field == "" {
				p.Code = codeRecord
			}
			p.Rule, p.Title = alert.ParkedRecord, fmt.Sprintf("%s waits for a person", what(n))
		default:
			continue
		}
		l.alert(ctx, p)
	}
}

func what(n note) string {
	if n.field == "" {
		return "a record"
	}
	return fmt.Sprintf("field %q of a record", n.field)
}

// alert hands a problem to a person. A failure to record it is itself reported:
// there is nobody else to return it to.
func (l *Link) alert(ctx context.Context, p alert.Problem) {
	if err := l.alerts.Report(context.WithoutCancel(ctx), p); err != nil {
		l.observer.Record(ctx, dovetail.Event{Name: "sync.alert", Time: l.now(), Link: l.name, System: p.System, Why: "an alert could not be recorded", Err: err, Class: dovetail.Classify(err)})
	}
}

func (l *Link) clear(ctx context.Context, p alert.Problem, note string) {
	if err := l.alerts.Clear(context.WithoutCancel(ctx), p, note); err != nil {
		l.observer.Record(ctx, dovetail.Event{Name: "sync.alert", Time: l.now(), Link: l.name, System: p.System, Why: "the end of an alert could not be recorded", Err: err, Class: dovetail.Classify(err)})
	}
}

// change runs fn on the record as it is stored now, in one transaction, and
// reports its decisions once they are durable. fn returns false when there is
// nothing to save.
func (l *Link) change(ctx context.Context, key string, fn func(tx Tx, r *record, notes *journal) (bool, error)) error {
	var notes *journal
	err := l.store.UpdateRecords(ctx, func(tx Tx) error {
		notes = &journal{} // the store may run this again
		row, ok, err := tx.Load(ctx, l.name, key)
		if err != nil {
			return fmt.Errorf("load %s/%s: %w", l.name, key, err)
		}
		if !ok {
			return fmt.Errorf("load %s/%s: %w", l.name, key, errUnknownRecord)
		}
		r, err := l.rules.unmarshal(row)
		if err != nil {
			return err
		}
		save, err := fn(tx, r, notes)
		if err != nil || !save {
			return err
		}
		return l.save(ctx, tx, r, notes)
	})
	if err != nil {
		return l.heldBack(ctx, err)
	}
	l.queue.Wake()
	l.report(ctx, notes)
	return nil
}

var errUnknownRecord = errors.New("no such record")

// load reads a record outside a transaction.
func (l *Link) load(ctx context.Context, key string) (*record, error) {
	row, ok, err := l.store.LoadRecord(ctx, l.name, key)
	if err != nil {
		return nil, fmt.Errorf("load %s/%s: %w", l.name, key, err)
	}
	if !ok {
		return nil, fmt.Errorf("load %s/%s: %w", l.name, key, errUnknownRecord)
	}
	return l.rules.unmarshal(row)
}

// meta reads a named value of the link.
func (l *Link) meta(ctx context.Context, name string) (value string, err error) {
	err = l.store.UpdateRecords(ctx, func(tx Tx) error {
		value, err = tx.Meta(ctx, l.name, name)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read %q of link %s: %w", name, l.name, err)
	}
	return value, nil
}

// stamp is the time that notes carry.
func (l *Link) stamp() time.Time { return l.now().UTC() }
