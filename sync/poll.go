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

// Poll reads everything that changed at a system since the stored cursor, page
// by page. Run calls it on schedule; a caller may too. A cursor moves only with
// the page that it follows, in the same transaction.
func (l *Link) Poll(ctx context.Context, system dovetail.System) error {
	p, err := l.party(system)
	if err != nil {
		return err
	}
	if p.changes == nil {
		if p.list == nil {
			return fmt.Errorf("sync: the endpoint of %q has neither Changes nor List", system)
		}
		return l.Reconcile(ctx, system)
	}
	if err := l.mayRun(ctx); err != nil {
		return err
	}
	name := "cursor/" + string(p.name)
	cursor, err := l.meta(ctx, name)
	if err != nil {
		return err
	}
	for {
		pg, err := p.changes(ctx, cursor)
		if err != nil {
			return fmt.Errorf("read changes of %s in %s: %w", l.name, p.name, err)
		}
		if pg.next == "" {
			pg.next = cursor
		}
		to := name
		if pg.next == cursor {
			to = "" // nothing to move: an idle poll writes nothing
		}
		if err := l.takePage(ctx, p, pg, to, false); err != nil {
			return err
		}
		if !pg.more {
			return nil
		}
		if pg.next == cursor {
			return &dovetail.Error{Fault: dovetail.Permanent, Op: "read changes of " + l.name, Ref: dovetail.Ref{System: p.name}, Err: errors.New("the page says that there is more but its cursor does not move")}
		}
		cursor = pg.next
	}
}

// takePage takes one page in: unchanged records cost one indexed read together,
// new ones are taken as they are, changed ones are read again, since a page may
// be older than what we know. The cursor, if cursorName is given, moves along.
// Of a whole listing the values are compared too, not the versions alone.
func (l *Link) takePage(ctx context.Context, p *party, pg page, cursorName string, whole bool) error {
	l.reportBad(ctx, p, pg.bad)
	refs, err := l.refsByID(ctx, p, pg.records)
	if err != nil {
		return err
	}
	var fresh, known, changed []*shown
	var again []string
	for _, b := range pg.bad {
		if b.id != "" { // alone it may be readable; if not, it waits in the dead letters
			again = append(again, b.id)
		}
	}
	keys := make(map[string]string)
	for _, o := range pg.records {
		ref, ok := refs[o.id]
		switch {
		case !ok && o.deleted:
		case !ok:
			fresh = append(fresh, o)
		case ref.State != RefLinked || o.deleted:
			again = append(again, o.id)
		default:
			keys[o.id] = ref.Key
			known = append(known, o)
		}
	}
	for _, o := range known {
		same, err := l.unchanged(ctx, p, o, refs[o.id], whole)
		if err != nil {
			return err
		}
		if !same {
			changed = append(changed, o)
			again = append(again, o.id)
		}
	}
	if err := l.brakePage(ctx, p, changed, keys, whole); err != nil {
		return err
	}
	return l.storePage(ctx, p, fresh, again, len(changed) > 0, cursorName, pg.next)
}

func (l *Link) refsByID(ctx context.Context, p *party, records []*shown) (map[string]Ref, error) {
	if len(records) == 0 {
		return nil, nil
	}
	ids := make([]string, len(records))
	for i, o := range records {
		ids[i] = o.id
	}
	found, err := l.store.RecordRefs(ctx, l.name, p.name, ids)
	if err != nil {
		return nil, fmt.Errorf("look up a page of %s in %s: %w", l.name, p.name, err)
	}
	refs := make(map[string]Ref, len(found))
	for _, r := range found {
		refs[r.ID] = r
	}
	return refs, nil
}

// unchanged: the page shows what the system showed before. The version tells,
// else a hash of the values; a record with references is hashed with our keys.
// Of a whole listing the version is not believed alone: it does not move for
// every change in every system, and the plan may have gained a field since.
func (l *Link) unchanged(ctx context.Context, p *party, o *shown, ref Ref, whole bool) (bool, error) {
	known := o.version != "" && o.version == ref.Version
	if known && !whole {
		return true, nil
	}
	if o.version != "" && !known {
		return false, nil
	}
	if err := l.translateIn(ctx, p, o); err != nil {
		if _, ok := errors.AsType[*laterError](err); ok {
			return false, nil
		}
		return false, err
	}
	if digest(o.values) == ref.Shown {
		return true, nil
	}
	r, err := l.load(ctx, ref.Key)
	if errors.Is(err, ErrMalformedState) {
		return false, nil // it stops alone
	}
	if err != nil {
		return false, err
	}
	for f, v := range o.values { // a listing may leave fields out
		if !v.IsAbsent() && v != r.shadow[p.index].ack[f] && l.rules.table.Role(f, p.index) != ownership.Hidden {
			return false, nil
		}
	}
	return true, nil
}

// storePage makes a page durable in one transaction. A new record that cannot be
// taken yet is asked for again through the queue.
func (l *Link) storePage(ctx context.Context, p *party, fresh []*shown, again []string, news bool, cursorName, next string) error {
	var ready []*shown
	for _, o := range fresh {
		err := l.translateIn(ctx, p, o)
		var wait *laterError
		switch {
		case errors.As(err, &wait):
			again = append(again, o.id)
		case err != nil:
			return err
		default:
			ready = append(ready, o)
		}
	}
	if len(ready)+len(again) == 0 && cursorName == "" {
		return nil
	}
	var notes *journal
	err := l.store.UpdateRecords(ctx, func(tx Tx) error {
		notes = &journal{}
		messages := make([]outbox.Message, 0, len(again))
		for _, id := range again {
			messages = append(messages, l.readMessage(p, id))
		}
		for _, o := range ready {
			own := &journal{}
			err := l.takeNewIn(ctx, tx, p, o, own)
			var wait *laterError
			switch {
			case errors.As(err, &wait), errors.Is(err, errMoved), errors.Is(err, ErrMalformedState):
				messages = append(messages, l.readMessage(p, o.id))
				continue
			case err != nil:
				return err
			}
			notes.notes = append(notes.notes, own.notes...)
		}
		if len(messages) > 0 {
			if err := l.queue.Enqueue(ctx, tx.Outbox(), messages...); err != nil {
				return fmt.Errorf("enqueue reads of %s in %s: %w", l.name, p.name, err)
			}
		}
		if news {
			if err := l.heardIn(ctx, tx, p); err != nil {
				return err
			}
		}
		if cursorName == "" {
			return nil
		}
		return tx.Write(ctx, Changes{Link: l.name, Meta: map[string]string{cursorName: next}})
	})
	if err != nil {
		return fmt.Errorf("take a page of %s from %s: %w", l.name, p.name, err)
	}
	l.queue.Wake()
	l.report(ctx, notes)
	return nil
}

// reportBad tells of records of a page that could not be read. They stop alone; the
// page goes on.
func (l *Link) reportBad(ctx context.Context, p *party, bad []badRecord) {
	for _, b := range bad {
		err := b.err
		l.observer.Record(ctx, dovetail.Event{Name: "sync.bad-record", Time: l.now(), Link: l.name, System: p.name, Err: err, Class: dovetail.Classify(err)})
		l.alert(ctx, alert.Problem{Rule: alert.Contract, Link: l.name, System: p.name, Operation: "observe", Class: dovetail.Classify(err),
			Title: "a record could not be read", Why: err.Error(), Sample: dovetail.Ref{System: p.name, ID: b.id}.String(), Count: 1, At: l.stamp()})
	}
}

// pollLoop polls one system until ctx is done, and tells a person while it
// cannot, and when it can again.
func (l *Link) pollLoop(ctx context.Context, p *party, stop context.CancelCauseFunc) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		var err error
		if p.reads() {
			err = l.Poll(ctx, p.name)
		}
		wait := p.poll
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, ErrRulesChanged):
			stop(err)
			return
		case errors.Is(err, errBraked): // its own alert says so
		case err != nil:
			wait = min(wait, failingPoll)
			if after, ok := dovetail.RetryAfter(err); ok && after > wait {
				wait = after
			}
			l.pollFailed(ctx, p, err)
		default:
			// Each time, though it is rarely open: another process may have reported it,
			// with a clock that is ahead of ours.
			l.clear(ctx, l.unread(p, alert.Down), "reading changes works again")
			l.clear(ctx, l.unread(p, alert.Auth), "reading changes works again")
		}
		l.watch(ctx, p, err)
		timer.Reset(wait)
	}
}

// watch looks after what a poll may have begun or ended: brakes, and silence. A
// system that could not be read is not silent; it was not listened to.
func (l *Link) watch(ctx context.Context, p *party, polled error) {
	err := l.endBrakes(ctx, p)
	if polled == nil {
		err = errors.Join(err, l.checkSilence(ctx, p))
	}
	if err != nil && ctx.Err() == nil {
		l.observer.Record(ctx, dovetail.Event{Name: "sync.watch", Time: l.now(), Link: l.name, System: p.name, Outcome: "failed", Err: err, Class: dovetail.Classify(err)})
	}
}

// failingPoll is how soon a poll that failed is tried again at the latest: a
// person is told that a system is down because it is, not because it was when
// somebody last looked.
const failingPoll = 10 * time.Second

// unread is the problem that a system cannot be read, of any class.
func (l *Link) unread(p *party, rule alert.Rule) alert.Problem {
	return alert.Problem{Rule: rule, Link: l.name, System: p.name, Operation: "poll"}
}

func (l *Link) pollFailed(ctx context.Context, p *party, err error) {
	class := dovetail.Classify(err)
	l.observer.Record(ctx, dovetail.Event{Name: "sync.poll", Time: l.now(), Link: l.name, System: p.name, Outcome: "failed", Err: err, Class: class})
	if class == dovetail.RateLimited {
		return // normal operation: the next poll comes later
	}
	rule := alert.Down
	if class == dovetail.Auth {
		rule = alert.Auth
	}
	problem := l.unread(p, rule)
	problem.Title = fmt.Sprintf("changes of %s cannot be read from %s", l.name, p.name)
	problem.Why, problem.Class, problem.Count, problem.At = err.Error(), class, 1, l.stamp()
	l.alert(ctx, problem)
}
