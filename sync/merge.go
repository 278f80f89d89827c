package sync

import (
	"context"
	"time"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/conflict"
	"github.com/tectari/dovetail/ownership"
)

// rules is what the merge needs to know: compiled once, read by all.
type rules struct {
	link      string
	fields    []string
	systems   []dovetail.System
	table     *ownership.Table
	resolvers []conflict.Resolver // by field; nil where the field is not shared
	units     [][]int             // fields that are decided together
	unitOf    []int               // field → unit
	normalize []func(field string, v dovetail.Value) dovetail.Value
}

// shown is an observation in slots.
type shown struct {
	id, version, key string
	values           []dovetail.Value
	at               time.Time
	by               string
	deleted          bool
}

// merge takes what system s shows into the record: new canonical values, a new
// shadow, and in notes every decision with its reason. It does no I/O and looks
// at no clock; now only stamps the notes. It reports whether the record changed.
//
// Source of the algorithm: docs/design.md, "Observe".
func (u *rules) merge(ctx context.Context, r *record, s int, o *shown, now time.Time, notes *journal) bool {
	ack := r.shadow[s].ack
	changed := false
	for f := range o.values {
		if v := &o.values[f]; v.IsAbsent() || *v == ack[f] {
			continue
		}
		if u.mergeUnit(ctx, r, s, u.units[u.unitOf[f]], o, now, notes) {
			changed = true
		}
	}
	sh := &r.shadow[s]
	if sh.ghosts != nil && sh.exorcise(now) {
		changed = true
	}
	if o.version != sh.version && o.version != "" {
		sh.version = o.version
		changed = true
	}
	if changed {
		sh.touch++
		sh.at, sh.by = o.at, o.by
	}
	return changed
}

// mergeUnit decides one field, or one group of fields, that shows something new.
// The first field of a group that differs decides for all of it.
func (u *rules) mergeUnit(ctx context.Context, r *record, s int, unit []int, o *shown, now time.Time, notes *journal) bool {
	role := u.table.Role(unit[0], s)
	if role == ownership.Hidden {
		return false
	}
	sh := &r.shadow[s]
	if u.showsCanonical(r, s, unit, o, role) {
		u.acknowledge(r, sh, unit, o)
		u.agreed(r, unit)
		return true
	}
	if u.showsOurs(s, sh, unit, o) {
		return true
	}
	switch role {
	case ownership.Owner:
		u.adopt(r, s, unit, o, now, "owner", "the owner changed it", notes)
		for _, f := range unit {
			r.release(f) // the owner has spoken: no person needs to
		}
	case ownership.Reader:
		u.trespass(r, s, unit, o, now, notes)
	case ownership.Sharer:
		u.share(ctx, r, s, unit, o, now, notes)
	}
	return true
}

// showsCanonical: the system shows what we hold to be right, in our spelling or
// in its own. The owner's spelling is always news.
func (u *rules) showsCanonical(r *record, s int, unit []int, o *shown, role ownership.Role) bool {
	for _, f := range unit {
		v := o.values[f]
		if v.IsAbsent() {
			continue
		}
		if r.revs[f] == 0 {
			return false
		}
		if v == r.values[f] {
			continue
		}
		if role == ownership.Owner || !u.sameThere(s, f, r.values[f], v) {
			return false
		}
	}
	return true
}

// showsOurs: the system shows what we sent and were not told the outcome of, now
// or a while ago. It stands for the revision it was sent as, so a request that
// arrives late is followed by the newest value.
func (u *rules) showsOurs(s int, sh *shadow, unit []int, o *shown) bool {
	if sh.pendRev == nil && len(sh.ghosts) == 0 {
		return false
	}
	news := false
	for _, f := range unit {
		v := o.values[f]
		if v.IsAbsent() || v == sh.ack[f] {
			continue
		}
		if u.sentAs(s, sh, f, v) == 0 {
			return false
		}
		news = true
	}
	if !news {
		return false
	}
	for _, f := range unit {
		if v := o.values[f]; !v.IsAbsent() && v != sh.ack[f] {
			sh.ack[f], sh.rev[f] = v, u.sentAs(s, sh, f, v)
		}
	}
	forget(sh, unit)
	return true
}

// sentAs returns the revision as which v was sent and not acknowledged, zero if
// it was not.
func (u *rules) sentAs(s int, sh *shadow, f int, v dovetail.Value) uint32 {
	if sh.pendRev != nil && sh.pendRev[f] != 0 && (v == sh.pend[f] || u.sameThere(s, f, sh.pend[f], v)) {
		return sh.pendRev[f]
	}
	for i := len(sh.ghosts) - 1; i >= 0; i-- {
		if g := &sh.ghosts[i]; g.field == f && (v == g.value || u.sameThere(s, f, g.value, v)) {
			return g.rev
		}
	}
	return 0
}

// sameThere: system s, given ours, would show theirs.
func (u *rules) sameThere(s, f int, ours, theirs dovetail.Value) bool {
	n := u.normalize[s]
	return n != nil && n(u.fields[f], ours) == theirs
}

// acknowledge records the showing as standing for the canonical revision.
func (u *rules) acknowledge(r *record, sh *shadow, unit []int, o *shown) {
	for _, f := range unit {
		if v := o.values[f]; !v.IsAbsent() {
			sh.ack[f], sh.rev[f] = v, r.revs[f]
		}
	}
	forget(sh, unit)
}

// forget drops what was pending for the unit and has been shown.
func forget(sh *shadow, unit []int) {
	if sh.pendRev == nil {
		return
	}
	for _, f := range unit {
		if sh.pendRev[f] <= sh.rev[f] {
			sh.pend[f], sh.pendRev[f] = dovetail.Value{}, 0
		}
	}
	for _, rev := range sh.pendRev {
		if rev != 0 {
			return
		}
	}
	sh.pend, sh.pendRev = nil, nil
}

// agreed frees a parked unit once every system that shares it shows the same.
func (u *rules) agreed(r *record, unit []int) {
	for _, f := range unit {
		if !r.isHeld(f) {
			continue
		}
		for s := range r.shadow {
			if u.table.Role(f, s) == ownership.Sharer && r.shadow[s].status == linked && r.shadow[s].rev[f] != r.revs[f] {
				return
			}
		}
	}
	for _, f := range unit {
		r.release(f)
	}
}

// adopt makes what the system shows canonical.
func (u *rules) adopt(r *record, s int, unit []int, o *shown, now time.Time, rule, why string, notes *journal) {
	sh := &r.shadow[s]
	for _, f := range unit {
		v := o.values[f]
		if v.IsAbsent() {
			continue
		}
		if v != r.values[f] || r.revs[f] == 0 {
			u.set(r, f, v, origin{system: s, at: o.at, by: o.by}, now, rule, why, notes)
		}
		sh.ack[f], sh.rev[f] = v, r.revs[f]
	}
}

// set moves a canonical value and its revision.
func (u *rules) set(r *record, f int, v dovetail.Value, by origin, now time.Time, rule, why string, notes *journal) {
	notes.moved(r.key, u.fields[f], u.nameOf(by.system), rule, why, by, now, r.values[f], v)
	r.values[f] = v
	r.revs[f]++
	r.from[f] = by
}

func (u *rules) nameOf(system int) dovetail.System {
	if system < 0 {
		return ""
	}
	return u.systems[system]
}

// trespass: a system that does not own the field shows something else than the
// owner's value.
func (u *rules) trespass(r *record, s int, unit []int, o *shown, now time.Time, notes *journal) {
	sh := &r.shadow[s]
	for _, f := range unit {
		v := o.values[f]
		if v.IsAbsent() || v == sh.ack[f] {
			continue
		}
		// Its first showing is where it starts from; a value nobody owns yet waits
		// for the owner. Neither is a trespass.
		first := sh.ack[f].IsAbsent()
		known := r.revs[f] > 0
		sh.ack[f] = v
		switch policy := u.table.Trespass(f); {
		case !known || first:
			sh.rev[f] = 0
		case policy == ownership.Tolerate:
			notes.trespassed(r.key, u.fields[f], u.systems[s], "tolerated: "+u.ownerText(f), o, now, r.values[f], v)
		case policy == ownership.Ask:
			sh.rev[f] = 0
			r.holdField(f, hold{why: "changed by " + string(u.systems[s]) + ", which does not own it", system: s})
			notes.parked(r.key, u.fields[f], u.systems[s], r.held[f].why, now)
		default:
			sh.rev[f] = 0
			notes.trespassed(r.key, u.fields[f], u.systems[s], "reverted: "+u.ownerText(f), o, now, r.values[f], v)
		}
	}
}

func (u *rules) ownerText(f int) string {
	owner, ok := u.table.Owner(f)
	if !ok {
		return "the field is shared"
	}
	return string(u.systems[owner]) + " owns it"
}

// share: a system that shares the field changed it.
func (u *rules) share(ctx context.Context, r *record, s int, unit []int, o *shown, now time.Time, notes *journal) {
	sh := &r.shadow[s]
	forward := true
	for _, f := range unit {
		// A system that moves on from its own value has nobody to disagree with.
		if !o.values[f].IsAbsent() && r.revs[f] != 0 && sh.rev[f] != r.revs[f] && r.from[f].system != s {
			forward = false
		}
	}
	if forward {
		u.adopt(r, s, unit, o, now, "fast-forward", "it had seen the newest value", notes)
		return
	}
	lead := leadOf(unit, o, sh, r)
	c := u.conflict(r, s, lead, o)
	d := conflict.Decide(ctx, u.resolvers[lead], c)
	u.apply(r, s, unit, lead, d, o, now, notes)
}

// leadOf is the field of the unit that decides: the first that truly differs.
func leadOf(unit []int, o *shown, sh *shadow, r *record) int {
	for _, f := range unit {
		if v := o.values[f]; !v.IsAbsent() && v != sh.ack[f] && v != r.values[f] {
			return f
		}
	}
	return unit[0]
}

// conflict lays both sides, the base and everybody else before a resolver.
func (u *rules) conflict(r *record, s, f int, o *shown) conflict.Conflict {
	left := conflict.Side{System: u.nameOf(r.from[f].system), Value: r.values[f], At: r.from[f].at, By: r.from[f].by}
	right := conflict.Side{System: u.systems[s], Value: o.values[f], At: o.at, By: o.by, Version: o.version}
	c := conflict.Conflict{Link: u.link, Key: r.key, Field: u.fields[f], Base: r.shadow[s].ack[f], Left: left, Right: right}
	for i := range r.shadow {
		if u.table.Role(f, i) != ownership.Sharer {
			continue
		}
		switch {
		case i == s:
			c.Sides = append(c.Sides, right)
		case i == r.from[f].system:
			c.Sides = append(c.Sides, left)
		case !r.shadow[i].ack[f].IsAbsent():
			c.Sides = append(c.Sides, conflict.Side{System: u.systems[i], Value: r.shadow[i].ack[f], At: r.shadow[i].at, By: r.shadow[i].by, Version: r.shadow[i].version})
		}
	}
	return c
}

// apply carries out a decision for the whole unit. Only "take a side" has a
// meaning for a group of several fields; anything else parks it.
func (u *rules) apply(r *record, s int, unit []int, lead int, d conflict.Decision, o *shown, now time.Time, notes *journal) {
	sh := &r.shadow[s]
	name := u.fields[lead]
	if d.Verdict == conflict.New && len(unit) > 1 {
		d = conflict.ParkFor("the resolver made a new value for a group; a group follows one side")
	}
	notes.conflicted(r.key, name, u.systems[s], d, o, now, r.values[lead], o.values[lead])
	takeRight := d.Verdict == conflict.Taken && d.System == u.systems[s] && d.Value == o.values[lead]
	for _, f := range unit {
		v := o.values[f]
		if v.IsAbsent() {
			continue
		}
		sh.ack[f], sh.rev[f] = v, 0
		switch {
		case d.Verdict == conflict.Parked:
			r.holdField(f, hold{why: d.Why, system: s})
			notes.parked(r.key, u.fields[f], u.systems[s], d.Why, now)
		case takeRight:
			if v != r.values[f] {
				u.set(r, f, v, origin{system: s, at: o.at, by: o.by}, now, d.By, d.Why, notes)
			}
			sh.rev[f] = r.revs[f]
			r.release(f)
		default: // the canonical side, another system's, or a new value
			win := u.winner(r, f, lead, d)
			if win != r.values[f] {
				u.set(r, f, win, u.winnerOrigin(r, d), now, d.By, d.Why, notes)
			}
			if win == v {
				sh.rev[f] = r.revs[f]
			}
			r.release(f)
		}
	}
}

// winner is the value of field f that decision d, made on the lead, stands for.
func (u *rules) winner(r *record, f, lead int, d conflict.Decision) dovetail.Value {
	if f == lead {
		return d.Value
	}
	if i := u.indexOf(d.System); i >= 0 && i != r.from[f].system {
		return r.shadow[i].ack[f]
	}
	return r.values[f]
}

func (u *rules) winnerOrigin(r *record, d conflict.Decision) origin {
	if i := u.indexOf(d.System); i >= 0 && d.Verdict == conflict.Taken {
		return origin{system: i, at: r.shadow[i].at, by: r.shadow[i].by}
	}
	return origin{system: -1}
}

func (u *rules) indexOf(name dovetail.System) int {
	for i, s := range u.systems {
		if s == name {
			return i
		}
	}
	return -1
}
