package sync

import (
	"time"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/conflict"
)

// A note is one decision, as the history keeps it.
type note struct {
	kind   noteKind
	key    string
	field  string
	system dovetail.System
	rule   string
	why    string
	by     string
	at     time.Time // by the system's clock, if it said
	now    time.Time
	old    dovetail.Value
	new    dovetail.Value
}

type noteKind string

const (
	noteMoved    noteKind = "moved"
	noteTrespass noteKind = "trespass"
	noteConflict noteKind = "conflict"
	noteParked   noteKind = "parked"
	noteCreated  noteKind = "created"
	noteAdopted  noteKind = "adopted"
	noteDeleted  noteKind = "deleted"
	noteWritten  noteKind = "written"
	noteSettled  noteKind = "settled"
)

// journal collects what a merge decided. The zero value is empty and ready.
type journal struct{ notes []note }

func (j *journal) add(n note) { j.notes = append(j.notes, n) }

func (j *journal) moved(key, field string, s dovetail.System, rule, why string, by origin, now time.Time, old, to dovetail.Value) {
	j.add(note{kind: noteMoved, key: key, field: field, system: s, rule: rule, why: why, by: by.by, at: by.at, now: now, old: old, new: to})
}

func (j *journal) trespassed(key, field string, s dovetail.System, why string, o *shown, now time.Time, ours, theirs dovetail.Value) {
	j.add(note{kind: noteTrespass, key: key, field: field, system: s, rule: "owner", why: why, by: o.by, at: o.at, now: now, old: theirs, new: ours})
}

func (j *journal) conflicted(key, field string, s dovetail.System, d conflict.Decision, o *shown, now time.Time, ours, theirs dovetail.Value) {
	j.add(note{kind: noteConflict, key: key, field: field, system: s, rule: d.By, why: d.Why, by: o.by, at: o.at, now: now, old: lost(d, s, ours, theirs), new: d.Value})
}

// lost is the value that did not win.
func lost(d conflict.Decision, s dovetail.System, ours, theirs dovetail.Value) dovetail.Value {
	if d.Verdict == conflict.Taken && d.System == s {
		return ours
	}
	return theirs
}

func (j *journal) parked(key, field string, s dovetail.System, why string, now time.Time) {
	j.add(note{kind: noteParked, key: key, field: field, system: s, why: why, now: now})
}
