package sync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/ownership"
)

// deliver brings one record up to date in one system. It reads the state again,
// whatever the message said: what counts is what is true now.
func (l *Link) deliver(ctx context.Context, p *party, key string) error {
	ctx = context.WithValue(ctx, deliveringTo{}, p.name)
	var refused error
	for range attempts {
		r, err := l.load(ctx, key)
		if errors.Is(err, errUnknownRecord) {
			return nil // deleted for good since the message was written
		}
		if err != nil {
			return err
		}
		again, err := l.step(ctx, p, r, &refused)
		switch {
		case errors.Is(err, errMoved), errors.Is(err, ErrStale):
			continue
		case errors.Is(err, errWaits):
			return nil // its parent wakes it
		case err != nil:
			return err
		case !again:
			return refused
		}
	}
	return later(time.Second, "the record keeps changing while it is written")
}

// step does the next thing that is to be done for the record; it reports whether
// there may be more.
func (l *Link) step(ctx context.Context, p *party, r *record, refused *error) (again bool, err error) {
	sh := &r.shadow[p.index]
	switch {
	case sh.status == unlinked:
		return false, nil
	// What was begun is settled even for a record that is parked: others wait to
	// know what became of it.
	case sh.status == creating:
		return true, l.create(ctx, p, r)
	case sh.pending():
		return true, l.look(ctx, p, r)
	case r.parked != "":
		return false, nil
	case !r.exists:
		if sh.status != linked || p.delete == nil || l.rules.table.ExistsRole(p.index) == ownership.Owner {
			return false, nil
		}
		return true, l.remove(ctx, p, r)
	case sh.status == unknown:
		if !l.creates(p.index) {
			return false, nil
		}
		return true, l.create(ctx, p, r)
	}
	fields := l.patch(r, p.index, *refused != nil)
	if len(fields) == 0 {
		return false, nil
	}
	if p.update == nil {
		return false, &dovetail.Error{Fault: dovetail.Permanent, Op: "update " + l.name, Ref: dovetail.Ref{System: p.name, ID: sh.id}, Err: errors.New("its endpoint cannot update records; implement Updater, or mend the record there by hand")}
	}
	return l.write(ctx, p, r, fields, refused)
}

// patch is the fields to write: by revision, never by value, so that a system
// that rewrites what it is given is not written for ever. A group goes whole.
func (l *Link) patch(r *record, s int, skipRefused bool) []int {
	var fields []int
	sh := &r.shadow[s]
	for _, unit := range l.rules.units {
		lags := false
		for _, f := range unit {
			if !l.rules.lags(r, s, f) {
				continue
			}
			if skipRefused && sh.refused != nil && sh.refused[f] == r.revs[f] {
				continue
			}
			lags = true
		}
		if !lags {
			continue
		}
		for _, f := range unit {
			if r.revs[f] > 0 && l.rules.table.Role(f, s) != ownership.Hidden {
				fields = append(fields, f)
			}
		}
	}
	return fields
}

// look reads the record before it is written again, because the outcome of the
// last write is not known.
func (l *Link) look(ctx context.Context, p *party, r *record) error {
	sh := &r.shadow[p.index]
	touch := sh.touch
	o, err := p.get(ctx, sh.id)
	switch {
	case dovetail.Classify(err) == dovetail.NotFound, err == nil && o.deleted:
		return l.gone(ctx, p, sh.id, r.key, touch)
	case err != nil:
		return fmt.Errorf("read %s:%s after an uncertain write: %w", p.name, sh.id, err)
	}
	if err := l.translateIn(ctx, p, o); err != nil {
		return err
	}
	return l.change(ctx, r.key, func(tx Tx, r *record, notes *journal) (bool, error) {
		if r.shadow[p.index].touch != touch {
			return false, errMoved
		}
		if err := l.gate(ctx, tx, r, p, o); err != nil {
			return false, err
		}
		r.shadow[p.index].haunt(l.stamp().Add(p.life()))
		l.rules.merge(ctx, r, p.index, o, l.stamp(), notes)
		r.shadow[p.index].touch++
		return true, nil
	})
}

// write sends a patch and records what the system shows afterwards.
func (l *Link) write(ctx context.Context, p *party, r *record, fields []int, refused *error) (again bool, err error) {
	if err := l.assertMayWrite(ctx, p, r, fields); err != nil {
		return false, err
	}
	if !p.can.ConditionalWrite && l.anyShared(p, fields) {
		if moved, err := l.refresh(ctx, p, r); err != nil || moved {
			return true, err
		}
	}
	req, err := l.requestOf(ctx, p, r, fields)
	if err != nil {
		return false, err
	}
	touch, err := l.begin(ctx, p, r, fields)
	if err != nil {
		return true, err
	}
	o, err := p.update(ctx, req)
	if err != nil {
		return l.writeFailed(ctx, p, r, fields, touch, err, refused)
	}
	if o, err = l.complete(ctx, p, o, req.id); err != nil {
		return false, err // the write happened; the next attempt looks first
	}
	err = l.change(ctx, r.key, func(tx Tx, r *record, notes *journal) (bool, error) {
		if r.shadow[p.index].touch != touch {
			return false, errMoved // somebody read it meanwhile; unsure stands, so we look
		}
		if err := l.gate(ctx, tx, r, p, o); err != nil {
			return false, err
		}
		l.wrote(ctx, r, p.index, fields, o, notes)
		return true, nil
	})
	return true, err
}

// assertMayWrite is the last gate before the wire: a field that its system owns
// is never written there, whatever went wrong before.
func (l *Link) assertMayWrite(ctx context.Context, p *party, r *record, fields []int) error {
	for _, f := range fields {
		if role := l.rules.table.Role(f, p.index); role != ownership.Reader && role != ownership.Sharer {
			err := &dovetail.Error{Fault: dovetail.Permanent, Op: "write " + l.name + "/" + r.key, Ref: dovetail.Ref{System: p.name, ID: r.shadow[p.index].id}, Field: l.rules.fields[f], Err: fmt.Errorf("refused: %s owns the field; this is a fault in the library", p.name)}
			l.alert(ctx, alert.Problem{Rule: alert.Contract, Severity: alert.Critical, Link: l.name, System: p.name, Field: l.rules.fields[f], Title: "a write to an owned field was refused", Why: err.Error(), Sample: l.name + "/" + r.key, Count: 1, At: l.stamp()})
			return err
		}
	}
	return nil
}

func (l *Link) anyShared(p *party, fields []int) bool {
	for _, f := range fields {
		if l.rules.table.Role(f, p.index) == ownership.Sharer {
			return true
		}
	}
	return false
}

// refresh reads the record right before a write that the API cannot make
// conditional; it reports whether the read brought news.
func (l *Link) refresh(ctx context.Context, p *party, r *record) (moved bool, err error) {
	sh := &r.shadow[p.index]
	o, err := p.get(ctx, sh.id)
	switch {
	case dovetail.Classify(err) == dovetail.NotFound, err == nil && o.deleted:
		return true, l.gone(ctx, p, sh.id, r.key, sh.touch)
	case err != nil:
		return false, fmt.Errorf("read %s:%s before writing it: %w", p.name, sh.id, err)
	}
	if err := l.translateIn(ctx, p, o); err != nil {
		return false, err
	}
	touch := sh.touch
	err = l.change(ctx, r.key, func(tx Tx, r *record, notes *journal) (bool, error) {
		if r.shadow[p.index].touch != touch {
			return false, errMoved
		}
		moved, err = l.merge(ctx, tx, r, p, o, l.stamp(), notes)
		return moved, err
	})
	return moved, err
}

// begin notes durably what is about to be sent. From here until the outcome is
// recorded the record is unsure in that system.
func (l *Link) begin(ctx context.Context, p *party, seen *record, fields []int) (touch int64, err error) {
	err = l.change(ctx, seen.key, func(_ Tx, r *record, _ *journal) (bool, error) {
		sh := &r.shadow[p.index]
		if sh.touch != seen.shadow[p.index].touch {
			return false, errMoved
		}
		for _, f := range fields {
			if r.revs[f] != seen.revs[f] {
				return false, errMoved
			}
		}
		sh.expect(fields, r)
		touch = sh.touch
		return true, nil
	})
	return touch, err
}

// complete reads the record when the answer to a write did not show it.
func (l *Link) complete(ctx context.Context, p *party, o *shown, id string) (*shown, error) {
	if o.values == nil {
		var err error
		if o, err = p.get(ctx, id); err != nil {
			return nil, fmt.Errorf("read %s:%s after writing it: %w", p.name, id, err)
		}
	}
	return o, l.translateIn(ctx, p, o)
}

// wrote records the outcome of a write: what the system shows now stands for the
// revisions that were sent, in whatever spelling; anything else it shows is news.
func (l *Link) wrote(ctx context.Context, r *record, s int, fields []int, o *shown, notes *journal) {
	sh := &r.shadow[s]
	for _, f := range fields {
		rev := r.revs[f]
		if sh.pendRev != nil && sh.pendRev[f] != 0 {
			rev = sh.pendRev[f]
		}
		if v := o.values[f]; !v.IsAbsent() {
			sh.ack[f] = v
		}
		sh.rev[f] = rev
		if sh.refused != nil {
			sh.refused[f] = 0
		}
		notes.add(note{kind: noteWritten, key: r.key, field: l.rules.fields[f], system: l.rules.systems[s], rule: "write", now: l.stamp(), new: sh.ack[f]})
	}
	sh.settle()
	l.rules.merge(ctx, r, s, o, l.stamp(), notes)
	sh.touch++
}

// writeFailed sorts a failed write: refused, moved, gone, or in doubt.
func (l *Link) writeFailed(ctx context.Context, p *party, r *record, fields []int, touch int64, cause error, refused *error) (again bool, err error) {
	sh := &r.shadow[p.index]
	wrapped := fmt.Errorf("update %s:%s: %w", p.name, sh.id, cause)
	switch dovetail.Classify(cause) {
	case dovetail.Conflict:
		return true, l.look(ctx, p, withTouch(r, p.index, touch))
	case dovetail.NotFound:
		return true, l.gone(ctx, p, sh.id, r.key, touch)
	case dovetail.Invalid, dovetail.Permanent:
		if err := l.refuse(ctx, p, r, fields, touch, cause); err != nil {
			return false, err
		}
		*refused = wrapped
		return true, nil // the fields that were not refused still go
	case dovetail.RateLimited, dovetail.Auth, dovetail.Unavailable:
		return false, wrapped // unsure stands: one read, before the next write
	default:
		// Sent, outcome unknown. A write of a known record is not a doubt for a
		// person: the next attempt looks first.
		return false, &dovetail.Error{Fault: dovetail.Transient, Op: "update " + l.name, Ref: dovetail.Ref{System: p.name, ID: sh.id}, Err: cause}
	}
}

func withTouch(r *record, s int, touch int64) *record {
	r.shadow[s].touch = touch
	return r
}

// refuse notes which revisions the system called invalid: the field that its
// error names, else all that were sent.
func (l *Link) refuse(ctx context.Context, p *party, seen *record, fields []int, touch int64, cause error) error {
	var e *dovetail.Error
	if errors.As(cause, &e) && e.Field != "" {
		if f, ok := l.schema.index[e.Field]; ok {
			fields = []int{f}
		}
	}
	return l.change(ctx, seen.key, func(_ Tx, r *record, notes *journal) (bool, error) {
		sh := &r.shadow[p.index]
		if sh.touch != touch {
			return false, errMoved
		}
		for _, f := range fields {
			sh.refuse(f, seen.revs[f])
			notes.parked(r.key, l.rules.fields[f], p.name, fmt.Sprintf("%s refused the value: %s", p.name, dovetail.Classify(cause)), l.stamp())
		}
		sh.settle()
		sh.touch++
		return true, nil
	})
}

// requestOf lays out an update. References become the IDs that the system knows.
func (l *Link) requestOf(ctx context.Context, p *party, r *record, fields []int) (request, error) {
	sh := &r.shadow[p.index]
	req := request{id: sh.id, version: sh.version, values: make([]dovetail.Value, len(r.values))}
	send := fields
	if p.can.FullReplace {
		send = l.allHeld(p)
	}
	for _, f := range send {
		v := r.values[f]
		if p.can.FullReplace && l.rules.table.Role(f, p.index) == ownership.Owner {
			v = sh.ack[f] // rides along unchanged; the version check guards it
		}
		req.values[f] = v
		req.fields = append(req.fields, l.rules.fields[f])
		if v.IsNull() {
			req.null = append(req.null, l.rules.fields[f])
		}
	}
	_, err := l.translateOut(ctx, p, r, req.values)
	return req, err
}

func (l *Link) allHeld(p *party) []int {
	var all []int
	for f, held := range p.held {
		if held && l.rules.table.Role(f, p.index) != ownership.Hidden {
			all = append(all, f)
		}
	}
	return all
}
