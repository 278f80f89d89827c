package sync

import (
	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/idempotency"
	"github.com/tectari/dovetail/ownership"
)

// A Grade says how strong a guarantee is.
type Grade string

// The grades.
const (
	// Strict: always.
	Strict Grade = "strict"
	// Windowed: except during the time of one request.
	Windowed Grade = "windowed"
	// AtMostOnce: never twice, but after a lost reply a person decides.
	AtMostOnce Grade = "at-most-once"
	// None: not kept at all, as configured.
	None Grade = "none"
)

// A Guarantee says what is promised for one field in one system, or for the
// creation of records there (Field is empty), and what the system's API lacks
// for more.
type Guarantee struct {
	Link    string
	System  dovetail.System
	Field   string
	Promise string
	Grade   Grade
	Missing string
}

// Guarantees returns what this link promises, per field and system.
func (l *Link) Guarantees() []Guarantee { return append([]Guarantee(nil), l.guarantees...) }

func guaranteesOf(l *Link) []Guarantee {
	var all []Guarantee
	for _, p := range l.parties {
		if p.create != nil || p.upsert != nil {
			grade, missing := createGrade(p)
			all = append(all, Guarantee{Link: l.name, System: p.name, Promise: "one record per source record", Grade: grade, Missing: missing})
		}
		for f, name := range l.rules.fields {
			g := Guarantee{Link: l.name, System: p.name, Field: name, Grade: Strict}
			switch l.rules.table.Role(f, p.index) {
			case ownership.Owner:
				g.Promise = "never written by us"
			case ownership.Reader:
				g.Promise = "shows the owner's value"
			case ownership.Sharer:
				g.Promise = "no edit is overwritten unseen"
				if !p.can.ConditionalWrite {
					g.Grade, g.Missing = Windowed, "conditional writes"
				}
			default:
				continue
			}
			all = append(all, g)
		}
	}
	return all
}

func createGrade(p *party) (Grade, string) {
	switch {
	case p.upsert != nil:
		return Strict, ""
	case p.can.KeyWindow > 0 && p.find != nil, p.find != nil:
		return Strict, ""
	case p.can.KeyWindow > 0:
		return AtMostOnce, "a search, for a doubt that outlives the idempotency key"
	case p.can.OnDoubt == idempotency.MayRepeat:
		return None, "deduplication or a search; duplicates are accepted by OnDoubt"
	default:
		return AtMostOnce, "deduplication or a search"
	}
}
