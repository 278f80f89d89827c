package sync_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tectari/dovetail"
	datasync "github.com/tectari/dovetail/sync"
)

// simRemote is a business system that behaves as badly as real ones do.
type simRemote struct {
	w           *world
	name        dovetail.System
	class       byte // A, B or C
	lossy       bool
	conditional bool
	storesKey   bool
	lag         time.Duration
	records     map[string]*simRecord
	keys        map[string]string                       // idempotency key → ID
	paged       map[string]datasync.Observation[person] // what the last page showed
	log         []string                                // IDs in the order of change
	next        int
	writes      int
	delayed     []delayedWrite
	at          time.Time // when a late request arrived; zero: now
}

type simRecord struct {
	id, key string
	person
	version int
	deleted bool
	made    time.Time
	unseen  map[string]bool // fields a person set and the engine was not shown
	unsure  bool            // the engine cannot know what became of its last update
}

type delayedWrite struct {
	at time.Time
	do func()
}

func (r *simRemote) norm(s string) string {
	if r.lossy {
		return strings.ToUpper(strings.TrimSpace(s))
	}
	return s
}

func (r *simRemote) Normalize(_ string, v dovetail.Value) dovetail.Value {
	if v.Kind() != dovetail.KindString {
		return v
	}
	return dovetail.String(r.norm(v.Text()))
}

func (r *simRemote) touch(rec *simRecord) {
	rec.version++
	r.log = append(r.log, rec.id)
	r.w.hints = append(r.w.hints, [2]string{string(r.name), rec.id})
}

// arrive lets requests that were given up on arrive after all.
func (r *simRemote) arrive() {
	rest := r.delayed[:0]
	for _, d := range r.delayed {
		if time.Now().Before(d.at) {
			rest = append(rest, d)
			continue
		}
		r.at = d.at // it took effect then, whoever looks when
		d.do()
		r.at = time.Time{}
	}
	r.delayed = rest
}

// call wraps a request with everything that can go wrong on its way.
func (r *simRemote) call(write bool, do func() error) error {
	r.arrive()
	r.w.point()
	if r.w.hit(r.w.edit) {
		r.w.edits()
	}
	if r.w.hit(r.w.before) {
		return dovetail.NewError(dovetail.InDoubt, "call", "timeout")
	}
	if write && r.w.hit(r.w.late) {
		r.delayed = append(r.delayed, delayedWrite{at: time.Now().Add(time.Duration(r.w.rng.IntN(50)) * time.Second), do: func() { _ = do() }})
		return dovetail.NewError(dovetail.InDoubt, "call", "timeout")
	}
	err := do()
	if r.w.hit(r.w.edit) {
		r.w.edits()
	}
	r.w.point()
	if r.w.hit(r.w.after) {
		return dovetail.NewError(dovetail.InDoubt, "call", "reply lost")
	}
	return err
}

func (r *simRemote) show(rec *simRecord) datasync.Observation[person] {
	o := datasync.Observation[person]{ID: rec.id, Version: fmt.Sprint(rec.version), Record: rec.person, At: time.Now()}
	if !r.conditional {
		o.Version = ""
	}
	if r.storesKey {
		o.Key = rec.key
	}
	return o
}

// certain reports whether an answer says what became of the request.
func certain(err error) bool { return err == nil || dovetail.Classify(err) != dovetail.InDoubt }

// shown notes that the engine has seen the record as it is.
func shown(rec *simRecord) { rec.unseen = nil }

func (r *simRemote) Get(_ context.Context, id string) (o datasync.Observation[person], err error) {
	err = r.call(false, func() error {
		rec := r.records[id]
		if old, ok := r.paged[id]; ok && r.w.mutant == "believe a page that may be old" {
			delete(r.paged, id)
			o = old
			return nil
		}
		if rec == nil || rec.deleted {
			return dovetail.NewError(dovetail.NotFound, "get", "no such record")
		}
		shown(rec)
		o = r.show(rec)
		return nil
	})
	if rec := r.records[id]; rec != nil && certain(err) {
		rec.unsure = false
	}
	return o, err
}

func (r *simRemote) Changes(_ context.Context, cursor string) (p datasync.Page[person], err error) {
	err = r.call(false, func() error {
		from := 0
		if cursor != "" {
			if _, err := fmt.Sscan(cursor, &from); err != nil {
				return err
			}
		}
		from = max(0, from-1) // overlap
		to := min(len(r.log), from+3)
		seen := make(map[string]bool)
		for _, id := range r.log[from:to] {
			rec := r.records[id]
			if seen[id] {
				continue
			}
			seen[id] = true
			shown(rec)
			o := r.show(rec)
			o.Deleted = rec.deleted
			r.paged[id] = o
			p.Records = append(p.Records, o)
		}
		p.Next, p.More = fmt.Sprint(to), to < len(r.log)
		return nil
	})
	return p, err
}

func (r *simRemote) insert(key string, p person) *simRecord {
	r.next++
	rec := &simRecord{id: fmt.Sprintf("%s%03d", r.name, r.next), key: key, person: p, made: time.Now()}
	if !r.at.IsZero() {
		rec.made = r.at
	}
	for _, f := range []string{"name", "street", "city", "tax", "phone"} {
		*rec.field(f) = r.norm(*rec.field(f))
	}
	r.records[rec.id] = rec
	r.touch(rec)
	return rec
}

func (r *simRemote) make(c datasync.Create[person]) *simRecord {
	r.w.logf("    %s takes a create of %s: %+v", r.name, c.Key, c.Record)
	r.writes++
	r.w.mayWrite(r, c.Fields)
	return r.insert(c.Key, c.Record)
}

func (r *simRemote) write(u datasync.Update[person]) (*simRecord, error) {
	rec := r.records[u.ID]
	if rec == nil || rec.deleted {
		return nil, dovetail.NewError(dovetail.NotFound, "update", "no such record")
	}
	if r.conditional && u.Version != "" && u.Version != fmt.Sprint(rec.version) && r.w.mutant != "write without a condition" {
		return nil, dovetail.NewError(dovetail.Conflict, "update", "version moved")
	}
	r.writes++
	r.w.logf("    %s takes an update of %s: %v %+v", r.name, u.ID, u.Fields, u.Record)
	r.w.mayWrite(r, u.Fields)
	for _, f := range u.Fields {
		if r.conditional && f == "phone" && rec.unseen[f] {
			r.w.fail("I11: %s of %s:%s was overwritten before it was seen", f, r.name, rec.id)
		}
		*rec.field(f) = r.norm(*u.Record.field(f))
	}
	r.touch(rec)
	return rec, nil
}

func (r *simRemote) Update(_ context.Context, u datasync.Update[person]) (o datasync.Observation[person], err error) {
	sent := r.records[u.ID]
	if sent != nil {
		if sent.unsure {
			r.w.fail("I6: %s:%s was written again before it was read, after a write of unknown outcome", r.name, u.ID)
		}
		sent.unsure = true // until it is answered; the process may die before that
	}
	err = r.call(true, func() error {
		rec, err := r.write(u)
		if err != nil {
			return err
		}
		shown(rec)
		o = r.show(rec)
		return nil
	})
	if sent != nil && certain(err) {
		sent.unsure = false
	}
	return o, err
}

func (r *simRemote) Delete(_ context.Context, id, _ string) error {
	return r.call(true, func() error {
		rec := r.records[id]
		if rec == nil || rec.deleted {
			return dovetail.NewError(dovetail.NotFound, "delete", "no such record")
		}
		r.writes++
		rec.deleted = true
		r.touch(rec)
		return nil
	})
}

// The classes: what the API offers against duplicates.

type classA struct{ *simRemote }

func (r classA) Upsert(_ context.Context, c datasync.Create[person]) (o datasync.Observation[person], created bool, err error) {
	err = r.call(true, func() error {
		for _, rec := range r.records {
			if rec.key == c.Key && !rec.deleted {
				// An upsert has no condition: sent again after a doubt, it may
				// overwrite what a person set meanwhile. See Link.Guarantees.
				rec.unseen = nil
				updated, err := r.write(datasync.Update[person]{ID: rec.id, Record: c.Record, Fields: c.Fields})
				if err != nil {
					return err
				}
				o = r.show(updated)
				return nil
			}
		}
		created = true
		o = r.show(r.make(c))
		return nil
	})
	return o, created, err
}

type classB struct{ *simRemote }

func (r classB) Create(_ context.Context, c datasync.Create[person]) (o datasync.Observation[person], err error) {
	err = r.call(true, func() error {
		if id, ok := r.keys[c.IdempotencyKey]; ok {
			shown(r.records[id])
			o = r.show(r.records[id])
			return nil
		}
		rec := r.make(c)
		r.keys[c.IdempotencyKey] = rec.id
		o = r.show(rec)
		return nil
	})
	return o, err
}

type classC struct{ *simRemote }

func (r classC) Create(_ context.Context, c datasync.Create[person]) (o datasync.Observation[person], err error) {
	err = r.call(true, func() error {
		o = r.show(r.make(c))
		return nil
	})
	return o, err
}

func (r classC) Find(_ context.Context, q datasync.Query[person]) (out []datasync.Observation[person], err error) {
	err = r.call(false, func() error {
		for _, rec := range r.records {
			if rec.key == q.Key && !rec.deleted && !time.Now().Before(rec.made.Add(r.lag)) {
				out = append(out, r.show(rec))
			}
		}
		return nil
	})
	return out, err
}

func (r *simRemote) endpoint() datasync.Endpoint[person] {
	switch r.class {
	case 'A':
		return classA{r}
	case 'B':
		return classB{r}
	default:
		return classC{r}
	}
}

func (r *simRemote) can() datasync.Capabilities {
	c := datasync.Capabilities{ConditionalWrite: r.conditional, StoresKey: r.storesKey, RequestLife: time.Minute}
	switch r.class {
	case 'B':
		c.KeyWindow = 1000 * time.Hour
	case 'C':
		c.FindLag = r.lag
	}
	return c
}
