package ownership

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/tectari/dovetail"
)

// Check finds everything that is wrong with a plan and compiles it. It returns
// every fault, each with its code, the setting, what is wrong and what to write;
// the Table is nil when one of them is not a warning. The faults stand in a
// fixed order: the plan itself, then fields in their order, groups, resolvers,
// existence, systems.
func Check(p Plan) (*Table, []dovetail.Fault) {
	c := &checker{p: &p}
	c.plan()
	for i, f := range p.Fields {
		if f != "" && slices.Index(p.Fields, f) == i {
			c.field(f)
		}
	}
	c.strangers()
	c.groups()
	c.resolvers()
	c.existence()
	c.systems()
	for _, f := range c.faults {
		if !f.Warning {
			return nil, c.faults
		}
	}
	return compile(&p), c.faults
}

// checker collects the faults of one plan.
type checker struct {
	p      *Plan
	faults []dovetail.Fault
}

func (c *checker) add(code, where, text, fix string) {
	c.faults = append(c.faults, dovetail.Fault{Code: code, Where: where, Text: text, Fix: fix})
}

func (c *checker) warn(code, where, text, fix string) {
	c.faults = append(c.faults, dovetail.Fault{Code: code, Where: where, Text: text, Fix: fix, Warning: true})
}

// at names the setting of a field's rule.
func at(setting, field string) string { return "Config." + setting + "[" + strconv.Quote(field) + "]" }

// of names a field of the record in a text: "customer.phone".
func (c *checker) of(field string) string {
	if c.p.Record == "" {
		return field
	}
	return c.p.Record + "." + field
}

// plan checks the names: without them nothing else can be said well.
func (c *checker) plan() {
	if c.p.Record == "" {
		c.add("OWN022", "Config.Name", "the record type has no name", `write what it is: "customer"`)
	}
	if len(c.p.Fields) == 0 {
		c.add("OWN022", "Config.Fields", c.record()+" has no fields", "name at least one")
	}
	for i, f := range c.p.Fields {
		switch {
		case f == "":
			c.add("OWN022", "Config.Fields", fmt.Sprintf("field %d of %s has no name", i+1, c.record()), "name it")
		case slices.Index(c.p.Fields, f) < i:
			c.add("OWN022", at("Fields", f), c.of(f)+" is listed twice", "remove one, or give it another name")
		}
	}
	known := 0
	for i, s := range c.p.Systems {
		where := fmt.Sprintf("Config.Systems[%d]", i)
		switch {
		case s == "":
			c.add("OWN021", where, "the system has no name", `write who it is: "crm"`)
		case slices.Index(c.p.Systems, s) < i:
			c.add("OWN021", where, string(s)+" is named twice", "give each system a name of its own")
		default:
			known++
		}
	}
	if known < 2 {
		c.add("OWN020", "Config.Systems", fmt.Sprintf("an agreement needs two systems or more, not %d", known), "add the others")
	}
	for _, s := range slices.Sorted(maps.Keys(c.p.Has)) {
		for _, f := range c.p.Has[s] {
			if !slices.Contains(c.p.Fields, f) {
				c.add("OWN019", "Config.Systems", fmt.Sprintf("the endpoint of %s holds %q, which is no field of %s", s, f, c.record()),
					instead(f, c.p.Fields, "add it to the record, or leave it out there"))
			}
		}
	}
}

func (c *checker) record() string {
	if c.p.Record == "" {
		return "the record"
	}
	return c.p.Record
}

// field checks the rule of one field.
func (c *checker) field(f string) {
	where := at("Fields", f)
	r, ok := c.p.Rules[f]
	if !ok {
		c.add("OWN001", where, c.of(f)+" has no owner and is not declared shared", c.propose(f))
		return
	}
	if !c.rule(r, where, c.of(f), c.propose(f)) {
		return
	}
	if r.deletionSet {
		c.add("OWN016", where, "OnForeignDelete says what happens to a whole record, not to a field", "move it to Config.Exists")
	}
	if r.grouped && r.group == "" {
		c.add("OWN016", where, "InGroup names no group", `name it: InGroup("address")`)
	}
	if !r.isShared {
		if !c.p.holds(r.owner, f) {
			c.add("OWN002", where, fmt.Sprintf("%s is owned by %s, but the %s endpoint does not hold it", c.of(f), r.owner, r.owner),
				c.holders(f, "add it to that endpoint"))
		}
	} else {
		for _, s := range r.shared {
			if !c.p.holds(s, f) {
				c.add("OWN002", where, fmt.Sprintf("%s is shared by %s, but the %s endpoint does not hold it", c.of(f), names(r.shared), s),
					c.holders(f, "add it to that endpoint"))
			}
			if !c.p.CanWrite[s] {
				c.add("OWN018", where, fmt.Sprintf("%s is shared by %s, but %s cannot be written: it would never agree", c.of(f), names(r.shared), s),
					fmt.Sprintf("give the %s endpoint an update, or write %q: ownership.By(%q)", s, f, s))
			}
		}
		if !c.p.Resolved[f] {
			c.add("OWN003", at("Resolvers", f), fmt.Sprintf("%s is shared by %s without a resolver", c.of(f), names(r.shared)),
				fmt.Sprintf("say who wins when both change it: %q: conflict.Latest(2*time.Minute, conflict.Park())", f))
		}
	}
	c.readers(r, f)
}

// rule checks what holds for a field's rule and for the existence rule alike. It
// returns false where nothing more can be said.
func (c *checker) rule(r Rule, where, what, fix string) bool {
	if r.owner == "" && !r.isShared {
		c.add("OWN011", where, "the rule of "+what+" names nobody", fix)
		return false
	}
	whole := true
	refuse := func(code, text, fix string) {
		c.add(code, where, text, fix)
		whole = false
	}
	seen := map[dovetail.System]bool{}
	name := func(s dovetail.System, verb string) {
		switch {
		case s == "":
			refuse("OWN011", "the rule of "+what+" names a system without a name", "name it")
		case seen[s]:
			refuse("OWN015", fmt.Sprintf("the rule of %s names %s twice", what, s), "name it once: the owner and the sharers are no readers")
		case !slices.Contains(c.p.Systems, s):
			refuse("OWN012", fmt.Sprintf("%s is %s %s, which is no configured system", what, verb, s),
				instead(string(s), texts(c.p.Systems), "add it to Config.Systems"))
		}
		seen[s] = true
	}
	if r.isShared {
		for _, s := range r.shared {
			name(s, "shared by")
		}
		if len(r.shared) < 2 {
			refuse("OWN013", fmt.Sprintf("%s is shared by %d system", what, len(r.shared)), "name two or more, or write ownership.By for the one")
		}
	} else {
		name(r.owner, "owned by")
	}
	for _, s := range r.readers {
		name(s, "read-only in")
	}
	if r.trespass > Ask || r.deletion > AskDeletion {
		refuse("OWN016", fmt.Sprintf("the rule of %s has an unknown policy: %s, %s", what, r.trespass, r.deletion), "use the constants of package ownership")
	}
	return whole
}

// readers checks that a field arrives where its rule says it is read.
func (c *checker) readers(r Rule, f string) {
	where, reached := at("Fields", f), r.isShared
	for i, s := range c.p.Systems {
		if s == r.owner || s == "" || slices.Index(c.p.Systems, s) < i || slices.Contains(r.shared, s) {
			continue
		}
		named := slices.Contains(r.readers, s)
		switch {
		case r.limited && !named:
		case !c.p.holds(s, f):
			if named {
				c.add("OWN002", where, fmt.Sprintf("%s is read-only in %s, but the %s endpoint does not hold it", c.of(f), s, s),
					"add it to that endpoint, or take it out of ReadOnlyIn")
			}
		case !c.p.reachable(s) && named:
			c.add("OWN018", where, fmt.Sprintf("%s is read-only in %s, but %s cannot be written: it would never arrive", c.of(f), s, s),
				fmt.Sprintf("give the %s endpoint an update, or take %s out of ReadOnlyIn", s, s))
		case !c.p.reachable(s):
			c.warn("OWN030", where, fmt.Sprintf("%s does not reach %s, which cannot be written", c.of(f), s),
				fmt.Sprintf("give the %s endpoint an update, or say which systems read the field with ReadOnlyIn", s))
		case !c.p.CanWrite[s]:
			reached = true
			c.warn("OWN031", where, fmt.Sprintf("%s reaches %s only when the record is created: %s has no update", c.of(f), s, s),
				fmt.Sprintf("give the %s endpoint an update", s))
		default:
			reached = true
		}
	}
	if !reached {
		c.warn("OWN032", where, c.of(f)+" reaches no other system", "let another system hold it, or leave the field out")
	}
}

// strangers finds rules for fields that the record does not have.
func (c *checker) strangers() {
	for _, f := range slices.Sorted(maps.Keys(c.p.Rules)) {
		if !slices.Contains(c.p.Fields, f) {
			c.add("OWN010", at("Fields", f), fmt.Sprintf("%s has no field %q", c.record(), f), instead(f, c.p.Fields, "remove the rule"))
		}
	}
}

// resolvers finds resolvers that would never be asked.
func (c *checker) resolvers() {
	for _, f := range slices.Sorted(maps.Keys(c.p.Resolved)) {
		if !c.p.Resolved[f] {
			continue
		}
		r, ok := c.p.Rules[f]
		owner, owned := r.Owner()
		switch {
		case !slices.Contains(c.p.Fields, f):
			c.add("OWN014", at("Resolvers", f), fmt.Sprintf("%s has no field %q", c.record(), f), instead(f, c.p.Fields, "remove the resolver"))
		case ok && owned:
			c.add("OWN014", at("Resolvers", f), fmt.Sprintf("%s is owned by %s: its resolver would never be asked", c.of(f), owner),
				fmt.Sprintf("remove it, or write %q: ownership.Shared(...)", f))
		}
	}
}

// groups checks that the fields of a group are one unit everywhere.
func (c *checker) groups() {
	members := map[string][]string{}
	for i, f := range c.p.Fields {
		if r, ok := c.p.Rules[f]; ok && r.group != "" && slices.Index(c.p.Fields, f) == i {
			members[r.group] = append(members[r.group], f)
		}
	}
	for _, g := range slices.Sorted(maps.Keys(members)) {
		first := members[g][0]
		if len(members[g]) == 1 {
			c.warn("OWN033", at("Fields", first), fmt.Sprintf("%s is alone in group %q", c.of(first), g), "put the fields that belong with it into the group, or leave InGroup out")
		}
		for _, f := range members[g][1:] {
			a, b := c.p.Rules[first], c.p.Rules[f]
			if !alike(a, b) {
				c.add("OWN004", at("Fields", f), fmt.Sprintf("the fields of group %q have different rules: %s is %s, %s is %s", g, c.of(first), a, c.of(f), b),
					"give them the same rule, or take one out of the group")
			}
		}
		c.split(g, members[g])
	}
}

// split warns where a system holds a part of a group: it would get half a unit.
func (c *checker) split(group string, fields []string) {
	for _, s := range c.p.Systems {
		held := 0
		for _, f := range fields {
			if c.p.holds(s, f) {
				held++
			}
		}
		if held > 0 && held < len(fields) {
			c.warn("OWN034", "Config.Systems", fmt.Sprintf("%s holds %d of the %d fields of group %q", s, held, len(fields), group),
				fmt.Sprintf("let the %s endpoint hold %s", s, strings.Join(fields, ", ")))
		}
	}
}

// alike reports whether two rules say the same.
func alike(a, b Rule) bool {
	a.group, b.group = "", ""
	return a.String() == b.String()
}
