package ownership

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tectari/dovetail"
)

// existence checks the rule for the record as a whole.
func (c *checker) existence() {
	const where = "Config.Exists"
	r := c.p.Exists
	if r.owner == "" && !r.isShared {
		c.add("DEL001", where, "nobody owns the existence of "+c.record()+": nobody may create or delete it", c.proposeExists())
		return
	}
	what := "the existence of " + c.record()
	if !c.rule(r, where, what, c.proposeExists()) {
		return
	}
	if r.trespassSet {
		c.add("OWN016", where, "OnTrespass is about a field's value, not about the record", "write OnForeignDelete, or leave it out")
	}
	if r.grouped {
		c.add("OWN016", where, "the existence of a record is in no group", "leave InGroup out")
	}
	for i, s := range c.p.Systems {
		if s == "" || s == r.owner || slices.Index(c.p.Systems, s) < i {
			continue
		}
		named := slices.Contains(r.readers, s) || slices.Contains(r.shared, s)
		switch {
		case r.limited && !named:
		case !c.p.CanCreate[s] && named:
			c.add("OWN018", where, fmt.Sprintf("%s takes in %s, but its endpoint cannot create", what, s),
				fmt.Sprintf("give the %s endpoint a create, or leave %s out of the rule", s, s))
		case !c.p.CanCreate[s]:
			c.warn("DEL002", where, fmt.Sprintf("%s records are not created in %s, nor restored there: its endpoint has no create", c.record(), s),
				fmt.Sprintf("give the %s endpoint a create, or say so with ReadOnlyIn", s))
		case !c.p.CanDelete[s]:
			c.warn("DEL003", where, fmt.Sprintf("a deleted %s stays in %s: its endpoint has no delete", c.record(), s),
				fmt.Sprintf("give the %s endpoint a delete, or expect to remove it by hand", s))
		}
	}
}

// systems finds systems that neither say nor hear anything.
func (c *checker) systems() {
	for i, s := range c.p.Systems {
		if s == "" || slices.Index(c.p.Systems, s) < i || c.p.reachable(s) || c.speaks(s) {
			continue
		}
		c.add("OWN017", fmt.Sprintf("Config.Systems[%d]", i), fmt.Sprintf("%s owns nothing and can be written nothing: it takes no part", s),
			fmt.Sprintf("let %s own a field, give its endpoint an update, or remove it", s))
	}
}

// speaks reports whether anything is taken from system.
func (c *checker) speaks(system dovetail.System) bool {
	in := func(r Rule) bool {
		return (!r.isShared && r.owner == system) || slices.Contains(r.shared, system)
	}
	if in(c.p.Exists) {
		return true
	}
	for _, r := range c.p.Rules {
		if in(r) {
			return true
		}
	}
	return false
}

// propose writes the line that is missing for a field, with real names.
func (c *checker) propose(f string) string {
	var able []string
	for _, s := range c.p.Systems {
		if s != "" && c.p.holds(s, f) {
			able = append(able, strconv.Quote(string(s)))
		}
	}
	switch len(able) {
	case 0:
		return "no endpoint holds it: add it to one, or remove it from the record"
	case 1:
		return fmt.Sprintf("write %q: ownership.By(%s)", f, able[0])
	default:
		return fmt.Sprintf("write %q: ownership.By(%s), or ownership.Shared(%s)", f, able[0], strings.Join(able, ", "))
	}
}

func (c *checker) proposeExists() string {
	for _, s := range c.p.Systems {
		if s != "" {
			return fmt.Sprintf("write Exists: ownership.By(%q)", string(s))
		}
	}
	return "write Exists: ownership.By of the system that creates records"
}

// holders says who could give the field instead.
func (c *checker) holders(f, fix string) string {
	var able []dovetail.System
	for _, s := range c.p.Systems {
		if s != "" && c.p.holds(s, f) {
			able = append(able, s)
		}
	}
	if len(able) == 0 {
		return fix
	}
	return fix + "; " + names(able) + " can give it"
}

func texts(systems []dovetail.System) []string {
	out := make([]string, len(systems))
	for i, s := range systems {
		out[i] = string(s)
	}
	return out
}

// instead says what was probably meant, and fix where nothing is near.
func instead(wrong string, known []string, fix string) string {
	if near := nearest(wrong, known); near != "" {
		return fmt.Sprintf("did you mean %q? Or %s", near, fix)
	}
	return fix
}
