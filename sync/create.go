package sync

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/idempotency"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/ownership"
)

// createRequest is what the ledger keeps of a create, to send the same bytes
// again: stored values by field name, references already in the system's IDs.
type createRequest struct {
	Values map[string]string `json:"values"`
}

// errWaits says that the record waits for a parent, which will wake it.
var errWaits = errors.New("sync: waits for a parent record")

// newCreator tells the ledger what the system's API can do.
func (l *Link) newCreator(p *party) (*idempotency.Upserter[createRequest], error) {
	target := idempotency.Target[createRequest]{KeyWindow: p.can.KeyWindow, FindLag: p.can.FindLag}
	if p.create != nil {
		target.Create = func(ctx context.Context, k idempotency.Key, v createRequest) (idempotency.Ref, error) {
			return l.send(ctx, p, k, v, p.create)
		}
	}
	if p.upsert != nil {
		target.Upsert = func(ctx context.Context, k idempotency.Key, v createRequest) (ref idempotency.Ref, created bool, err error) {
			ref, err = l.send(ctx, p, k, v, func(ctx context.Context, r request) (*shown, error) {
				o, made, err := p.upsert(ctx, r)
				created = made
				return o, err
			})
			return ref, created, err
		}
	}
	if p.find != nil {
		target.Find = func(ctx context.Context, k idempotency.Key, v createRequest) ([]idempotency.Ref, error) {
			return l.search(ctx, p, k, v)
		}
	}
	return idempotency.NewUpserter(idempotency.Config[createRequest]{
		Store: l.ledger, Target: target, OnDoubt: p.can.OnDoubt, RequestLife: p.can.RequestLife,
		Lease: l.lease, Observer: l.observer,
	})
}

// replyKey carries the place where a create leaves what the system answered.
type replyKey struct{}

func (l *Link) send(ctx context.Context, p *party, k idempotency.Key, v createRequest, call func(context.Context, request) (*shown, error)) (idempotency.Ref, error) {
	values, fields, err := l.valuesOf(v)
	if err != nil {
		return idempotency.Ref{}, err
	}
	req := request{key: k.ID, idempotencyKey: k.UUID(), values: values, fields: fields}
	o, err := call(ctx, req)
	if err != nil {
		return idempotency.Ref{}, err
	}
	if place, ok := ctx.Value(replyKey{}).(*shown); ok {
		*place = *o
	}
	return idempotency.Ref{ID: o.id, Version: o.version}, nil
}

// search looks for a record that one of our creates may have made.
func (l *Link) search(ctx context.Context, p *party, k idempotency.Key, v createRequest) ([]idempotency.Ref, error) {
	values, _, err := l.valuesOf(v)
	if err != nil {
		return nil, err
	}
	found, err := p.find(ctx, query{key: k.ID, values: values})
	if err != nil {
		return nil, err
	}
	refs := make([]idempotency.Ref, 0, len(found))
	for _, o := range found {
		refs = append(refs, idempotency.Ref{ID: o.id, Version: o.version})
	}
	return refs, nil
}

// valuesOf reads what the ledger kept of a create.
func (l *Link) valuesOf(v createRequest) (values []dovetail.Value, fields []string, err error) {
	values = make([]dovetail.Value, len(l.rules.fields))
	for f, name := range l.rules.fields {
		text, ok := v.Values[name]
		if !ok {
			continue
		}
		if values[f], err = dovetail.ParseValue(text); err != nil {
			return nil, nil, &dovetail.Error{Fault: dovetail.Invalid, Op: "create " + l.name, Field: name, Err: err}
		}
		fields = append(fields, name)
	}
	return values, fields, nil
}

// create makes the record in the system, once in its life there.
func (l *Link) create(ctx context.Context, p *party, r *record) error {
	sh := &r.shadow[p.index]
	if sh.status != creating {
		done, err := l.adoptExisting(ctx, p, r)
		if done || err != nil {
			return err
		}
		return l.beginCreate(ctx, p, r)
	}
	req, fields, err := l.createRequestOf(ctx, p, r)
	if err != nil {
		return err
	}
	touch := sh.touch
	var answer shown
	k := idempotency.Key{Scope: l.name + ">" + string(p.name), ID: r.key, Op: "create#" + strconv.FormatUint(uint64(sh.gen), 10)}
	res, err := l.creators[p.index].Create(context.WithValue(ctx, replyKey{}, &answer), k, req)
	if err != nil {
		return l.createFailed(ctx, p, r, fields, touch, err)
	}
	// Only the answer to a first request shows the record as it is: a repeated one
	// may be answered from memory, of a record that was changed or deleted since.
	own := res.Outcome == idempotency.Created && answer.values != nil && answer.id == res.Ref.ID
	o := &answer
	if !own {
		o, err = p.get(ctx, res.Ref.ID)
		switch {
		case dovetail.Classify(err) == dovetail.NotFound, err == nil && o.deleted:
			return l.deletedSince(ctx, p, r, touch, res.Ref.ID)
		case err != nil:
			return fmt.Errorf("read %s:%s after creating it: %w", p.name, res.Ref.ID, err)
		}
	}
	if err := l.translateIn(ctx, p, o); err != nil {
		return err
	}
	return l.created(ctx, p, r.key, touch, res, o, fields, own)
}

// beginCreate notes durably that a create is about to be sent, with what.
func (l *Link) beginCreate(ctx context.Context, p *party, seen *record) error {
	values := append([]dovetail.Value(nil), seen.values...)
	missing, err := l.translateOut(ctx, p, seen, values)
	if err != nil {
		return err
	}
	err = l.change(ctx, seen.key, func(tx Tx, r *record, _ *journal) (bool, error) {
		sh := &r.shadow[p.index]
		if sh.touch != seen.shadow[p.index].touch || sh.status != unknown {
			return false, errMoved
		}
		waited := l.waiting(r, p.index)
		r.waits = without(r.waits, p.index)
		if len(missing) > 0 {
			there, err := l.arrived(ctx, tx, missing)
			switch {
			case err != nil:
				return false, err
			case there:
				return false, errMoved
			}
			r.waits = append(r.waits, missing...)
			return !waited, nil
		}
		sh.status = creating
		sh.expect(l.creatable(r, p.index), r)
		return true, nil
	})
	if err == nil && len(missing) > 0 {
		return errWaits
	}
	return err
}

// arrived reports whether a parent that was missing is there by now. It looks in
// the transaction that notes the wait: a parent that came before it is seen here,
// one that comes after it sees the wait and wakes the record.
func (l *Link) arrived(ctx context.Context, tx Tx, missing []parent) (bool, error) {
	for _, m := range missing {
		for _, to := range l.references {
			if to == nil || to.name != m.link {
				continue
			}
			row, ok, err := tx.Load(ctx, to.name, m.key)
			if err != nil {
				return false, fmt.Errorf("load %s/%s: %w", to.name, m.key, err)
			}
			if !ok {
				continue
			}
			r, err := to.rules.unmarshal(row)
			if err != nil {
				return false, err
			}
			if r.shadow[to.rules.indexOf(l.rules.systems[m.system])].status == linked {
				return true, nil
			}
		}
	}
	return false, nil
}

func without(waits []parent, system int) []parent {
	var rest []parent
	for _, w := range waits {
		if w.system != system {
			rest = append(rest, w)
		}
	}
	return rest
}

// creatable is what a create sends: all that is known and not the system's own.
func (l *Link) creatable(r *record, s int) []int {
	var fields []int
	for f := range r.values {
		role := l.rules.table.Role(f, s)
		if (role == ownership.Reader || role == ownership.Sharer) && r.revs[f] > 0 && !r.values[f].IsAbsent() {
			fields = append(fields, f)
		}
	}
	return fields
}

// createRequestOf is what was noted to be sent, in the system's own IDs.
func (l *Link) createRequestOf(ctx context.Context, p *party, r *record) (createRequest, []int, error) {
	sh := &r.shadow[p.index]
	values := make([]dovetail.Value, len(r.values))
	var fields []int
	for f := range values {
		if sh.pendRev != nil && sh.pendRev[f] != 0 {
			values[f] = sh.pend[f]
			fields = append(fields, f)
		}
	}
	missing, err := l.translateOut(ctx, p, r, values)
	if err != nil {
		return createRequest{}, nil, err
	}
	if len(missing) > 0 {
		return createRequest{}, nil, later(retryParent, "a record it refers to is no longer in this system")
	}
	req := createRequest{Values: make(map[string]string, len(fields))}
	for _, f := range fields {
		req.Values[l.rules.fields[f]] = values[f].Encode()
	}
	return req, fields, nil
}

// created records the outcome: the record is linked, and whoever waited for it
// is woken in the same transaction.
func (l *Link) created(ctx context.Context, p *party, key string, touch int64, res idempotency.Result, o *shown, fields []int, own bool) error {
	return l.change(ctx, key, func(tx Tx, r *record, notes *journal) (bool, error) {
		sh := &r.shadow[p.index]
		if sh.touch != touch {
			return false, errMoved
		}
		sh.status, sh.id = linked, res.Ref.ID
		notes.add(note{kind: noteCreated, key: r.key, system: p.name, rule: res.Outcome.String(), why: "the record is in " + string(p.name), now: l.stamp()})
		if own {
			l.wrote(ctx, r, p.index, fields, o, notes)
		} else {
			sh.haunt(l.stamp().Add(p.life()))
			l.rules.merge(ctx, r, p.index, o, l.stamp(), notes)
			sh.touch++
		}
		return true, l.wake(ctx, tx, p, r.key)
	})
}

// deletedSince: the record was created, and deleted by somebody before we could
// link it.
func (l *Link) deletedSince(ctx context.Context, p *party, seen *record, touch int64, id string) error {
	err := l.change(ctx, seen.key, func(_ Tx, r *record, _ *journal) (bool, error) {
		sh := &r.shadow[p.index]
		if sh.touch != touch {
			return false, errMoved
		}
		sh.status, sh.id = linked, id
		sh.haunt(l.stamp().Add(p.life()))
		sh.touch++
		touch = sh.touch
		return true, nil
	})
	if err != nil {
		return err
	}
	return l.gone(ctx, p, id, seen.key, touch)
}

// wake enqueues the records that waited for this one.
func (l *Link) wake(ctx context.Context, tx Tx, p *party, key string) error {
	const many = 1000 // more are found by the sweep
	children, err := tx.Find(ctx, Lookup{Link: l.name, By: ByParent, System: p.name, Value: l.name + "/" + key}, many)
	if err != nil {
		return fmt.Errorf("look up who waits for %s/%s: %w", l.name, key, err)
	}
	messages := make([]outbox.Message, 0, len(children))
	for _, child := range children {
		link, childKey, ok := cut(child)
		if ok {
			messages = append(messages, outbox.Message{To: link + "/" + string(p.name), Topic: "write", Key: childKey})
		}
	}
	if len(messages) == 0 {
		return nil
	}
	return l.queue.Enqueue(ctx, tx.Outbox(), messages...)
}

func cut(child string) (link, key string, ok bool) {
	for i := range len(child) {
		if child[i] == '/' {
			return child[:i], child[i+1:], true
		}
	}
	return "", "", false
}

// createFailed sorts a failed create.
func (l *Link) createFailed(ctx context.Context, p *party, seen *record, fields []int, touch int64, cause error) error {
	if after, ok := idempotency.WaitOf(cause); ok {
		return later(after, "a create in doubt is being settled: "+dovetail.Classify(cause).String())
	}
	wrapped := fmt.Errorf("create %s/%s in %s: %w", l.name, seen.key, p.name, cause)
	switch dovetail.Classify(cause) {
	case dovetail.Invalid, dovetail.Permanent:
	default:
		return wrapped
	}
	err := l.change(ctx, seen.key, func(_ Tx, r *record, notes *journal) (bool, error) {
		sh := &r.shadow[p.index]
		if sh.touch != touch {
			return false, errMoved
		}
		for _, f := range fields {
			sh.refuse(f, sh.pendRev[f])
		}
		sh.status = unknown
		sh.settle()
		sh.touch++
		notes.parked(r.key, "", p.name, fmt.Sprintf("%s refused to create the record", p.name), l.stamp())
		return true, nil
	})
	return errors.Join(err, wrapped)
}

// adoptExisting links a record that the system has already, found by a match
// field, instead of creating a second one.
func (l *Link) adoptExisting(ctx context.Context, p *party, r *record) (done bool, err error) {
	if p.find == nil || r.shadow[p.index].gen > 0 {
		return false, nil
	}
	for _, f := range l.match {
		if r.values[f].IsEmpty() || !p.held[f] {
			continue
		}
		found, err := p.find(ctx, query{key: r.key, field: l.rules.fields[f], value: r.values[f].Text(), values: r.values})
		if err != nil {
			return false, fmt.Errorf("find %s/%s in %s by %s: %w", l.name, r.key, p.name, l.rules.fields[f], err)
		}
		switch len(found) {
		case 0:
			continue
		case 1:
			return true, l.adopt(ctx, p, r, found[0].id, l.rules.fields[f])
		default:
			return true, l.parkRecord(ctx, p, r, fmt.Sprintf("%d records of %s have the same %s: link or merge them by hand", len(found), p.name, l.rules.fields[f]))
		}
	}
	return false, nil
}

func (l *Link) adopt(ctx context.Context, p *party, seen *record, id, field string) error {
	key, _, err := l.seenAt(ctx, p, id)
	if err != nil {
		return err
	}
	if key != "" {
		return l.parkRecord(ctx, p, seen, fmt.Sprintf("%s:%s has the same %s but belongs to another record: two of ours may be one", p.name, id, field))
	}
	o, err := p.get(ctx, id)
	if dovetail.Classify(err) == dovetail.NotFound {
		return later(retryParent, "the search found a record that is gone")
	}
	if err != nil {
		return fmt.Errorf("read %s:%s before linking it: %w", p.name, id, err)
	}
	if err := l.translateIn(ctx, p, o); err != nil {
		return err
	}
	return l.change(ctx, seen.key, func(tx Tx, r *record, notes *journal) (bool, error) {
		if r.shadow[p.index].touch != seen.shadow[p.index].touch {
			return false, errMoved
		}
		l.attach(r, p, o)
		notes.add(note{kind: noteAdopted, key: r.key, system: p.name, rule: "match", why: "it was there already, with the same " + field, now: l.stamp()})
		l.rules.merge(ctx, r, p.index, o, l.stamp(), notes)
		return true, l.wake(ctx, tx, p, r.key)
	})
}

// parkRecord sets the whole record aside for a person.
func (l *Link) parkRecord(ctx context.Context, p *party, seen *record, why string) error {
	return l.change(ctx, seen.key, func(_ Tx, r *record, notes *journal) (bool, error) {
		r.parked = why
		notes.parked(r.key, "", p.name, why, l.stamp())
		return true, nil
	})
}
