package ownership

import (
	"slices"

	"github.com/tectari/dovetail"
)

// A Plan is everything that Check needs to know: the record, the systems, what
// their endpoints can do, and the rules. Check reads it and keeps none of it.
type Plan struct {
	// Record is the name of the record type: "customer". Required.
	Record string
	// Fields are all fields of the record type, in order. Required.
	Fields []string
	// Systems are the systems that take part, two or more. Required.
	Systems []dovetail.System
	// Has lists the fields that a system's endpoint holds. A system that is
	// missing holds all of them; one with an empty list holds none. Defaults to
	// all fields everywhere.
	Has map[dovetail.System][]string
	// CanWrite says whose endpoint can update a record. Defaults to nobody's.
	CanWrite map[dovetail.System]bool
	// CanCreate says whose endpoint can create a record. Defaults to nobody's.
	CanCreate map[dovetail.System]bool
	// CanDelete says whose endpoint can delete a record. Defaults to nobody's.
	CanDelete map[dovetail.System]bool
	// Rules names the rule of every field. Required.
	Rules Rules
	// Exists is the rule for the record as a whole: who creates and deletes it.
	// Required.
	Exists Rule
	// Resolved says which shared fields have a resolver. Required where a field
	// is shared.
	Resolved map[string]bool
}

// holds reports whether the endpoint of system holds field.
func (p *Plan) holds(system dovetail.System, field string) bool {
	fields, limited := p.Has[system]
	return !limited || slices.Contains(fields, field)
}

// reachable reports whether anything at all can be written in system.
func (p *Plan) reachable(system dovetail.System) bool {
	return p.CanWrite[system] || p.CanCreate[system]
}

// role says what system may do with field under rule r. A reader that cannot be
// written is hidden: a write that nobody can deliver is never planned.
func (p *Plan) role(r Rule, field string, system dovetail.System) Role {
	switch {
	case !p.holds(system, field):
		return Hidden
	case r.isShared && slices.Contains(r.shared, system):
		return Sharer
	case !r.isShared && r.owner == system:
		return Owner
	case r.limited && !slices.Contains(r.readers, system), !p.reachable(system):
		return Hidden
	default:
		return Reader
	}
}

// existsRole says what system may do with the record as a whole. Reader: records
// are created and, where it can, deleted there.
func (p *Plan) existsRole(system dovetail.System) Role {
	r := p.Exists
	switch {
	case r.isShared && slices.Contains(r.shared, system):
		return Sharer
	case !r.isShared && r.owner == system:
		return Owner
	case r.limited && !slices.Contains(r.readers, system), !p.CanCreate[system]:
		return Hidden
	default:
		return Reader
	}
}
