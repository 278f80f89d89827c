package ownership

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"

	"github.com/tectari/dovetail"
)

// A Table is a checked set of rules: what each system may do with each field.
// Check makes it. Fields and systems go by their index in the Plan. A Table is
// immutable and may be used concurrently; the zero Table knows no field and
// answers Hidden.
type Table struct {
	record  string
	fields  []string
	systems []dovetail.System

	roles    []Role // field × system
	owners   []int  // per field; -1 when shared
	trespass []Trespass
	groups   []int // per field; -1 none
	names    []string

	exists   []Role
	deletion Deletion
	hash     string
}

// compile makes the table of a plan that has no fault.
func compile(p *Plan) *Table {
	t := &Table{
		record:   p.Record,
		fields:   slices.Clone(p.Fields),
		systems:  slices.Clone(p.Systems),
		roles:    make([]Role, 0, len(p.Fields)*len(p.Systems)),
		owners:   make([]int, 0, len(p.Fields)),
		trespass: make([]Trespass, 0, len(p.Fields)),
		groups:   make([]int, 0, len(p.Fields)),
		deletion: p.Exists.deletion,
		hash:     hash(p),
	}
	for _, f := range p.Fields {
		r := p.Rules[f]
		for _, s := range p.Systems {
			t.roles = append(t.roles, p.role(r, f, s))
		}
		owner := -1
		if !r.isShared {
			owner = slices.Index(p.Systems, r.owner)
		}
		group := -1
		if r.grouped {
			if group = slices.Index(t.names, r.group); group < 0 {
				group = len(t.names)
				t.names = append(t.names, r.group)
			}
		}
		t.owners = append(t.owners, owner)
		t.trespass = append(t.trespass, r.trespass)
		t.groups = append(t.groups, group)
	}
	for _, s := range p.Systems {
		t.exists = append(t.exists, p.existsRole(s))
	}
	return t
}

// Role returns what system may do with field. It is Hidden for an index that is
// out of range.
func (t *Table) Role(field, system int) Role {
	if uint(field) >= uint(len(t.fields)) || uint(system) >= uint(len(t.systems)) {
		return Hidden
	}
	return t.roles[field*len(t.systems)+system]
}

// Trespass returns what happens when a reader changes field.
func (t *Table) Trespass(field int) Trespass {
	if uint(field) >= uint(len(t.trespass)) {
		return Revert
	}
	return t.trespass[field]
}

// Owner returns the system that owns field, and false when the field is shared.
func (t *Table) Owner(field int) (system int, ok bool) {
	if uint(field) >= uint(len(t.owners)) || t.owners[field] < 0 {
		return -1, false
	}
	return t.owners[field], true
}

// Group returns the group of field, counted from 0 in the order of the fields,
// and -1 when it is in none. Fields of one group are resolved and written as one
// unit.
func (t *Table) Group(field int) int {
	if uint(field) >= uint(len(t.groups)) {
		return -1
	}
	return t.groups[field]
}

// GroupName returns the name that InGroup gave the group, "" for none.
func (t *Table) GroupName(group int) string {
	if uint(group) >= uint(len(t.names)) {
		return ""
	}
	return t.names[group]
}

// ExistsRole returns what system may do with the record as a whole: an Owner or
// Sharer creates and deletes it for all, in a Reader it is created and deleted by
// us, from a Hidden system it is only linked.
func (t *Table) ExistsRole(system int) Role {
	if uint(system) >= uint(len(t.exists)) {
		return Hidden
	}
	return t.exists[system]
}

// Deletion returns what happens when a system that does not own existence
// deletes its record.
func (t *Table) Deletion() Deletion { return t.deletion }

// Hash identifies the rules: the same rules have the same hash, in whatever
// order fields and systems are listed, and any change of a rule changes it. What
// endpoints can do is no part of it. It is 32 characters long.
func (t *Table) Hash() string { return t.hash }

// hash writes every rule in the order of field names, each part with its length,
// so that no two plans run together into the same bytes.
func hash(p *Plan) string {
	var b []byte
	text := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	systems := func(list []dovetail.System) {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, s := range slices.Sorted(slices.Values(list)) {
			text(string(s))
		}
	}
	flag := func(on bool) {
		if on {
			b = append(b, 1)
			return
		}
		b = append(b, 0)
	}
	rule := func(r Rule) {
		text(string(r.owner))
		flag(r.isShared)
		systems(r.shared)
		flag(r.limited)
		systems(r.readers)
		b = append(b, byte(r.trespass), byte(r.deletion))
		flag(r.grouped)
		text(r.group)
	}
	text("dovetail ownership 1")
	text(p.Record)
	rule(p.Exists)
	for _, f := range slices.Sorted(maps.Keys(p.Rules)) {
		text(f)
		rule(p.Rules[f])
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}
