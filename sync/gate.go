package sync

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tectari/dovetail/ownership"
)

// errBraked stops a poll before its page is taken.
var errBraked = errors.New("sync: a brake holds")

// brakedError says that an observation was not taken because a brake of a field
// holds.
type brakedError struct {
	party *party
	kind  string
	tally tally
	limit int64
}

func (e *brakedError) Error() string {
	return "sync: the brake " + brakeName(e.party, e.kind) + " holds"
}

// weigh names the brakes that an observation counts under: a field that was
// filled and is empty now, and a change of a field that Brakes.Changes names. A
// first showing, and what we wrote ourselves, are neither.
func (l *Link) weigh(r *record, p *party, o *shown) []string {
	var kinds []string
	sh := &r.shadow[p.index]
	for f, name := range l.rules.fields {
		v, old := o.values[f], sh.ack[f]
		if v.IsAbsent() || v == old || old.IsAbsent() || v == r.values[f] || l.rules.table.Role(f, p.index) == ownership.Hidden {
			continue
		}
		switch {
		case v.IsEmpty():
			if !old.IsEmpty() && !r.values[f].IsEmpty() && l.rules.sentAs(p.index, sh, f, v) == 0 {
				kinds = append(kinds, brakeNulls+name)
			}
		case l.brakes.Changes[name] > 0 && l.references[f] == nil:
			if !l.rules.sameThere(p.index, f, r.values[f], v) && l.rules.sentAs(p.index, sh, f, v) == 0 {
				kinds = append(kinds, brakeChanges+name)
			}
		}
	}
	return kinds
}

// limitOfField is how many records may pass a brake of a field within a day.
func (l *Link) limitOfField(kind string, linked int64) int64 {
	if field, ok := strings.CutPrefix(kind, brakeChanges); ok {
		return limitOf(l.brakes.NullRows, l.brakes.Changes[field], linked)
	}
	return limitOf(l.brakes.NullRows, l.brakes.NullShare, linked)
}

// gate lets an observation through to the merge and counts it, or returns a
// brakedError. Every way in passes it, the webhook of one record too: a provider
// that empties a field everywhere tells so record by record.
func (l *Link) gate(ctx context.Context, tx Tx, r *record, p *party, o *shown) error {
	for _, kind := range l.weigh(r, p, o) {
		t, err := l.tallyIn(ctx, tx, brakeName(p, kind))
		if err != nil {
			return err
		}
		if limit := l.limitOfField(kind, p.linked.Load()); !t.admits(1, limit) {
			return &brakedError{party: p, kind: kind, tally: t, limit: limit}
		}
		t.count()
		if err := l.writeTally(ctx, tx, brakeName(p, kind), t); err != nil {
			return err
		}
	}
	return nil
}

// heldBack turns a brakedError into a wait, once the limit was computed from how
// many records there are now. Counting them is slow, so that is not done before a
// brake seems to hold.
func (l *Link) heldBack(ctx context.Context, err error) error {
	braked, ok := errors.AsType[*brakedError](err)
	if !ok {
		return err
	}
	p := braked.party
	wait := later(brakePause, "the brake "+brakeName(p, braked.kind)+" holds")
	if braked.tally.heldJustNow(l.now()) {
		return wait
	}
	if err := l.countLinked(ctx, p); err != nil {
		return err
	}
	limit := l.limitOfField(braked.kind, p.linked.Load())
	if limit > braked.limit {
		return errMoved // it may pass now
	}
	what, field, _ := strings.Cut(braked.kind, "/")
	title := fmt.Sprintf("%q of more than %d records of %s was emptied within a day", field, limit, p.name)
	if what+"/" == brakeChanges {
		title = fmt.Sprintf("%q of more than %d records of %s has changed within a day", field, limit, p.name)
	}
	if err := l.hold(ctx, p, braked.kind, braked.tally.Done+1, false, title, "that looks like a revoked permission or a changed format; no more of them are taken"); err != nil {
		return err
	}
	return wait
}

func (l *Link) countLinked(ctx context.Context, p *party) error {
	counts, err := l.store.CountRecords(ctx, l.name)
	if err != nil {
		return fmt.Errorf("count the records of %s in %s: %w", l.name, p.name, err)
	}
	p.linked.Store(counts.Linked[p.name])
	return nil
}

// brakePage stops a page before anything of it is taken: most of its records that
// had a value lost it, or it would go beyond what a day allows.
func (l *Link) brakePage(ctx context.Context, p *party, changed []*shown, keys map[string]string, whole bool) error {
	counts := make(map[string]int64)
	for _, o := range changed {
		if !l.suspect(p, o) {
			continue
		}
		r, err := l.load(ctx, keys[o.id])
		if errors.Is(err, ErrMalformedState) {
			continue // it stops alone
		}
		if err != nil {
			return err
		}
		for _, kind := range l.weigh(r, p, o) {
			counts[kind]++
		}
	}
	for _, f := range l.rules.fields {
		for _, kind := range []string{brakeNulls + f, brakeChanges + f} {
			if n := counts[kind]; n >= int64(l.brakes.NullRows) {
				if err := l.brakeKind(ctx, p, kind, n, int64(len(changed)), whole); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// suspect: the record has an empty field, or any change of it may count.
func (l *Link) suspect(p *party, o *shown) bool {
	if len(l.brakes.Changes) > 0 {
		return true
	}
	for f, v := range o.values {
		if p.held[f] && v.IsEmpty() && !v.IsAbsent() {
			return true
		}
	}
	return false
}

func (l *Link) brakeKind(ctx context.Context, p *party, kind string, n, of int64, whole bool) error {
	t, err := l.updateTally(ctx, brakeName(p, kind), func(*tally) bool { return false })
	if err != nil {
		return err
	}
	if err := l.countLinked(ctx, p); err != nil {
		return err
	}
	most := strings.HasPrefix(kind, brakeNulls) && 2*n > of && t.Left == 0
	if !most && t.admits(n, l.limitOfField(kind, p.linked.Load())) {
		return nil
	}
	what, field, _ := strings.Cut(kind, "/")
	title := fmt.Sprintf("%d of %d changed records of one page of %s have lost %q", n, of, p.name, field)
	if what+"/" == brakeChanges {
		title = fmt.Sprintf("%q has changed in %d records of one page of %s", field, n, p.name)
	}
	if err := l.hold(ctx, p, kind, n, whole, title, "that looks like a revoked permission or a changed format; nothing of the page was taken"); err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", errBraked, brakeName(p, kind))
}

// merge takes an observation of a linked record in, unless a brake holds it. The
// caller passes its error through heldBack once the transaction has ended.
func (l *Link) merge(ctx context.Context, tx Tx, r *record, p *party, o *shown, now time.Time, notes *journal) (bool, error) {
	if err := l.gate(ctx, tx, r, p, o); err != nil {
		return false, err
	}
	return l.rules.merge(ctx, r, p.index, o, now, notes), nil
}
