package sync_test

import (
	"context"
	"fmt"
	"strings"
)

// What people do in the simulated world: edit, throw messages away, decide.

// A person's value is unique, so that every value can be traced to its writer.
func (w *world) value(f string) string {
	w.serial++
	v := fmt.Sprintf("%s %d", f, w.serial)
	if w.rng.IntN(2) == 0 {
		v += " " // what a lossy system trims
	}
	return v
}

// edits is what people do: create, edit, trespass, delete.
func (w *world) edits() {
	r := w.remotes[w.rng.IntN(len(w.remotes))]
	live := r.live()
	if r.name == "a" && len(live) < 3 && (len(live) == 0 || w.rng.IntN(4) == 0) {
		p := person{Name: w.value("name"), Street: w.value("street"), City: w.value("city"), Phone: w.value("phone")}
		w.known[p.Phone] = true
		rec := r.insert("", p)
		rec.unseen = map[string]bool{"phone": true}
		w.logf("a person makes %s", rec.id)
		return
	}
	if len(live) == 0 {
		return
	}
	rec := r.records[live[w.rng.IntN(len(live))]]
	if w.rng.IntN(25) == 0 {
		rec.deleted = true
		if r.name == "a" {
			w.deleted[rec.id] = true
		}
		r.touch(rec)
		w.logf("a person deletes %s", rec.id)
		return
	}
	f := []string{"name", "street", "tax", "phone", "phone"}[w.rng.IntN(5)]
	v := r.norm(w.value(f))
	*rec.field(f) = v
	if f == "phone" {
		w.known[v] = true
	}
	if rec.unseen == nil {
		rec.unseen = make(map[string]bool)
	}
	rec.unseen[f] = true
	r.touch(rec)
	w.logf("a person sets %s of %s to %q", f, rec.id, v)
}

// throwAway is a person who discards the message of a write, or restores the queue
// from a backup: the record lags, and no message says so.
func (w *world) throwAway() {
	for _, m := range w.waiting(func(m [2]string) bool { return !strings.HasSuffix(m[0], "/read") }) {
		w.logf("a person throws %s %s away", m[0], m[1])
		delete(w.queue, m)
		return
	}
}

// decide is the person who looks after what was parked: a record that its owner
// deleted while somebody edited it elsewhere is deleted everywhere.
func (w *world) decide(ctx context.Context) {
	parked, err := w.link.Parked(ctx, "", 100)
	if err != nil {
		w.fail("list what is parked: %v", err)
	}
	for _, p := range parked {
		if p.Why == "" {
			w.fail("a record is parked without a reason: %+v", p)
			continue
		}
		if err := w.link.Delete(ctx, p.Key, "ana", "its owner deleted it"); err != nil {
			w.fail("delete %s: %v", p.Key, err)
		}
	}
	for _, stray := range w.strays {
		w.removeStray(ctx, stray[0], stray[1])
	}
}

// removeStray is the same person, told of a record that matches none of ours. One
// thing alone can leave such a record for good: an upsert that was given up on, and
// arrived after both the owner and somebody in the system itself had deleted the
// record. It makes it anew, and nothing but our key, which the system does not
// show, says what it is.
func (w *world) removeStray(ctx context.Context, system, id string) {
	for _, r := range w.remotes {
		rec := r.records[id]
		if string(r.name) != system || r.class != 'A' || r.storesKey || rec == nil || rec.deleted {
			continue
		}
		for _, owned := range w.remotes[0].live() {
			if key, ok, err := w.link.Key(ctx, "a", owned); err != nil || (ok && key == rec.key) {
				return
			}
		}
		w.logf("a person removes %s", id)
		rec.deleted = true
		r.touch(rec)
	}
}
