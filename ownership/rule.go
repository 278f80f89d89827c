package ownership

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tectari/dovetail"
)

// A Trespass policy says what happens when a system changes a field that it does
// not own. The zero value is Revert.
type Trespass uint8

// The policies. All of them report the trespass.
const (
	// Revert writes the owner's value back. The default.
	Revert Trespass = iota
	// Tolerate reports the foreign value and leaves it there, until the owner
	// changes the field next.
	Tolerate
	// Ask parks the field of that record until a person adopts or reverts it.
	Ask
)

// String returns the policy in lower case: "revert".
func (t Trespass) String() string { return word(int(t), "trespass", "revert", "tolerate", "ask") }

// A Deletion policy says what happens when a system that does not own existence
// deletes its record. The zero value is Restore.
type Deletion uint8

// The policies for a foreign delete. All of them report it.
const (
	// Restore creates the record again in that system. The default.
	Restore Deletion = iota
	// Unlink lets that system go without the record from now on.
	Unlink
	// AskDeletion parks the record for a person.
	AskDeletion
)

// String returns the policy in lower case: "restore".
func (d Deletion) String() string { return word(int(d), "deletion", "restore", "unlink", "ask") }

// A Role is what a system may do with a field.
type Role uint8

// The roles.
const (
	// Hidden: the field does not travel to or from that system.
	Hidden Role = iota
	// Reader: the field is written there, never taken from there. In a system
	// that can create records but not update them, it is written once.
	Reader
	// Sharer: both.
	Sharer
	// Owner: the field is taken from there, never written there.
	Owner
)

// String returns the role in lower case: "reader".
func (r Role) String() string { return word(int(r), "role", "hidden", "reader", "sharer", "owner") }

func word(i int, kind string, names ...string) string {
	if i < len(names) {
		return names[i]
	}
	return kind + "(" + strconv.Itoa(i) + ")"
}

// A Rule says who owns a field. Make one with By or Shared; the zero Rule names
// nobody and is refused. Rules are values: the methods return changed copies,
// and a Rule may be read concurrently.
type Rule struct {
	owner   dovetail.System
	shared  []dovetail.System
	readers []dovetail.System
	group   string

	trespass Trespass
	deletion Deletion

	// Whether the method was called: nothing and the default are told apart, so
	// that a method that means nothing where it stands is a fault.
	isShared, limited, grouped, trespassSet, deletionSet bool
}

// Rules names the rule of every field, by the field's name in the record type.
type Rules map[string]Rule

// By makes a rule for a field that one system owns. Everywhere else the field is
// read-only.
func By(owner dovetail.System) Rule { return Rule{owner: owner} }

// Shared makes a rule for a field that several systems may change, two at least.
// A resolver is required for it. Systems that are not named are readers.
func Shared(systems ...dovetail.System) Rule {
	return Rule{shared: slices.Clone(systems), isShared: true}
}

// ReadOnlyIn limits which other systems see the field: it is read-only in these
// and hidden from all others. Without it every other system is a reader. Called
// with no system it hides the field from all but its owner; called again it adds
// to what was named before.
func (r Rule) ReadOnlyIn(systems ...dovetail.System) Rule {
	r.readers = slices.Concat(r.readers, systems)
	r.limited = true
	return r
}

// OnTrespass says what happens when a reader changes the field. Without it:
// Revert.
func (r Rule) OnTrespass(t Trespass) Rule {
	r.trespass, r.trespassSet = t, true
	return r
}

// OnForeignDelete says what happens when a system that does not own existence
// deletes its record. It belongs on the existence rule only; on a field's rule
// it is refused. Without it: Restore.
func (r Rule) OnForeignDelete(d Deletion) Rule {
	r.deletion, r.deletionSet = d, true
	return r
}

// InGroup puts the field into a group of fields that are resolved and written as
// one unit: a street from one system with the city of another is an address that
// exists nowhere. All fields of a group have the same rule.
func (r Rule) InGroup(name string) Rule {
	r.group, r.grouped = name, true
	return r
}

// Owner returns the system that owns the field, and false when it is shared or
// the rule is zero.
func (r Rule) Owner() (dovetail.System, bool) { return r.owner, r.owner != "" && !r.isShared }

// Sharers returns the systems that share the field, nil when one owns it.
func (r Rule) Sharers() []dovetail.System { return slices.Clone(r.shared) }

// String says the rule in words: "owned by crm, read-only in shop, on trespass
// ask". Systems stand in the order of their names, so that equal rules have
// equal texts.
func (r Rule) String() string {
	var parts []string
	switch {
	case r.isShared:
		parts = append(parts, "shared by "+names(r.shared))
	case r.owner != "":
		parts = append(parts, "owned by "+string(r.owner))
	default:
		return "no rule"
	}
	switch {
	case r.limited && len(r.readers) == 0:
		parts = append(parts, "hidden elsewhere")
	case r.limited:
		parts = append(parts, "read-only in "+names(r.readers))
	}
	if r.trespass != Revert {
		parts = append(parts, "on trespass "+r.trespass.String())
	}
	if r.deletion != Restore {
		parts = append(parts, "on foreign delete "+r.deletion.String())
	}
	if r.grouped {
		parts = append(parts, "in group "+r.group)
	}
	return strings.Join(parts, ", ")
}

// names joins the names of systems in alphabetical order: "crm, erp and shop".
func names(systems []dovetail.System) string {
	sorted := slices.Sorted(slices.Values(systems))
	var b strings.Builder
	for i, s := range sorted {
		switch {
		case i == 0:
		case i == len(sorted)-1:
			b.WriteString(" and ")
		default:
			b.WriteString(", ")
		}
		b.WriteString(string(s))
	}
	return b.String()
}
