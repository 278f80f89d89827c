package sync

import (
	"fmt"
	"sort"
	"strings"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/conflict"
	"github.com/tectari/dovetail/ownership"
)

type checkInput struct {
	name         string
	record       string
	fields       ownership.Rules
	resolvers    conflict.Fields
	exists       ownership.Rule
	match        []string
	references   map[string]*Link
	endpoints    []bool
	systemFields [][]string
}

// check finds everything that is open or wrong in a plan and, where nothing is,
// compiles the rules.
func check(l *Link, in checkInput, faults *dovetail.Faults) {
	checkParts(l, in, faults)
	checkSystems(l, in, faults)
	checkResolvers(in, faults)
	table, found := ownership.Check(planOf(l, in))
	faults.List = append(faults.List, found...)
	checkMatch(l, in, faults)
	checkBrakes(l, in, faults)
	checkReferences(l, in, faults)
	if table == nil {
		return // what follows asks for roles, which nobody has yet
	}
	l.rules = compileRules(l, in, table)
	for _, p := range l.parties {
		checkWrites(l, p, faults)
		checkCreates(l, p, faults)
		checkReads(l, p, faults)
	}
	l.guarantees = guaranteesOf(l)
}

func checkParts(l *Link, in checkInput, faults *dovetail.Faults) {
	if in.name == "" {
		faults.Add("CFG001", "Config.Name", "required; it names the link in the store and must not change", `write Name: "customers"`)
	}
	if strings.ContainsAny(in.name, "/\x00") {
		faults.Add("CFG002", "Config.Name", fmt.Sprintf("%q holds a slash or a zero byte", in.name), "use letters, digits and dashes")
	}
	if l.store == nil {
		faults.Add("CFG003", "Config.Store", "required; without it nothing survives a restart", "write Store: sqlstore.New(db, sqlstore.SQLite)")
	}
	switch {
	case l.queue == nil:
		faults.Add("CFG004", "Config.Queue", "required; without it work is lost while a system is down", "write Queue: queue, made by outbox.New over the same store")
	case l.store != nil && any(l.queue.Store()) != any(l.store):
		faults.Add("CFG005", "Config.Queue", "keeps its messages in another store than Config.Store, so a change and the message it causes could not commit together", "make the queue with outbox.Config.Store set to the same value")
	}
	if l.alerts == nil {
		faults.Add("CFG006", "Config.Alerts", "required; a failure would reach nobody", "write Alerts: manager, made by alert.New with a route to a person")
	}
}

func checkSystems(l *Link, in checkInput, faults *dovetail.Faults) {
	for i, p := range l.parties {
		where := fmt.Sprintf("Config.Systems[%d]", i)
		if p.name != "" {
			where = fmt.Sprintf("Config.Systems[%q]", p.name)
		}
		if !in.endpoints[i] {
			faults.Add("SYS001", where+".Endpoint", "required; nothing can be read there", "write Endpoint: a type with a Get method")
		}
		if strings.ContainsAny(string(p.name), "/\x00") {
			faults.Add("SYS002", where+".Name", "holds a slash or a zero byte", "use letters, digits and dashes")
		}
		for _, f := range in.systemFields[i] {
			if _, ok := l.schema.index[f]; !ok {
				faults.Add("SYS003", where+".Fields", fmt.Sprintf("%q is no field of %s", f, in.record), "write one of "+strings.Join(l.schema.names, ", "))
			}
		}
		if p.poll < 0 || p.silent < 0 {
			faults.Add("SYS004", where, "Poll or SilentAfter is negative", "write a duration, or leave it out")
		}
	}
}

func checkResolvers(in checkInput, faults *dovetail.Faults) {
	names := make([]string, 0, len(in.resolvers))
	for name := range in.resolvers {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		where := fmt.Sprintf("Config.Resolvers[%q]", name)
		r := in.resolvers[name]
		if r == nil {
			faults.Add("RES003", where, "nil", "name a resolver: conflict.Latest(2*time.Minute, conflict.Park())")
			continue
		}
		if err := conflict.CheckOf(r); err != nil {
			faults.Add("RES001", where, err.Error(), "complete the resolver")
		}
	}
}

func planOf(l *Link, in checkInput) ownership.Plan {
	p := ownership.Plan{
		Record: in.record, Fields: l.schema.names, Rules: in.fields, Exists: in.exists,
		Has:      make(map[dovetail.System][]string),
		CanWrite: make(map[dovetail.System]bool), CanCreate: make(map[dovetail.System]bool), CanDelete: make(map[dovetail.System]bool),
		Resolved: make(map[string]bool),
	}
	for i, x := range l.parties {
		p.Systems = append(p.Systems, x.name)
		if in.systemFields[i] != nil {
			p.Has[x.name] = in.systemFields[i]
		}
		p.CanWrite[x.name] = x.update != nil || x.upsert != nil
		p.CanCreate[x.name] = x.create != nil || x.upsert != nil
		p.CanDelete[x.name] = x.delete != nil
	}
	for name, r := range in.resolvers {
		if r != nil {
			p.Resolved[name] = true
		}
	}
	return p
}

func compileRules(l *Link, in checkInput, table *ownership.Table) *rules {
	u := &rules{link: in.name, fields: l.schema.names, table: table, unitOf: make([]int, len(l.schema.names)), resolvers: make([]conflict.Resolver, len(l.schema.names))}
	groups := make(map[int]int)
	for f, name := range u.fields {
		u.resolvers[f] = in.resolvers[name]
		g := table.Group(f)
		if unit, ok := groups[g]; ok && g >= 0 {
			u.units[unit] = append(u.units[unit], f)
			u.unitOf[f] = unit
			continue
		}
		groups[g] = len(u.units)
		u.unitOf[f] = len(u.units)
		u.units = append(u.units, []int{f})
	}
	for _, p := range l.parties {
		u.systems = append(u.systems, p.name)
		u.normalize = append(u.normalize, p.normalize)
	}
	return u
}

func checkMatch(l *Link, in checkInput, faults *dovetail.Faults) {
	for _, name := range in.match {
		f, ok := l.schema.index[name]
		if !ok {
			faults.Add("MAT002", "Config.Match", fmt.Sprintf("%q is no field of %s", name, in.record), "write one of "+strings.Join(l.schema.names, ", "))
			continue
		}
		l.match = append(l.match, f)
	}
}

func checkBrakes(l *Link, in checkInput, faults *dovetail.Faults) {
	b := l.brakes
	if b.Deletes < 0 || b.NullRows < 0 || b.DeleteShare < 0 || b.NullShare < 0 {
		faults.Add("BRK001", "Config.Brakes", "a number or a share is negative", "write how many may pass, or leave it out for the default")
	}
	names := make([]string, 0, len(b.Changes))
	for name := range b.Changes {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		where := fmt.Sprintf("Config.Brakes.Changes[%q]", name)
		if _, ok := l.schema.index[name]; !ok {
			faults.Add("BRK002", where, "is no field of "+in.record, "write one of "+strings.Join(l.schema.names, ", "))
		}
		if b.Changes[name] <= 0 {
			faults.Add("BRK003", where, "is not positive", "write a share of the records, 0.05 for example, or leave the field out")
		}
	}
}

func checkReferences(l *Link, in checkInput, faults *dovetail.Faults) {
	l.references = make([]*Link, len(l.schema.names))
	for name, to := range in.references {
		where := fmt.Sprintf("Config.References[%q]", name)
		f, ok := l.schema.index[name]
		if !ok {
			faults.Add("DEP002", where, "is no field of "+in.record, "write one of "+strings.Join(l.schema.names, ", "))
			continue
		}
		if to == nil {
			faults.Add("DEP003", where, "names no link", "make the other link first, and name it here")
			continue
		}
		l.references[f] = to
		if l.store != nil && any(to.store) != any(l.store) {
			faults.Add("DEP005", where, fmt.Sprintf("link %q keeps its state in another store, so a record could not be woken when its parent arrives", to.name), "give both links the same Store")
		}
		for _, p := range l.parties {
			if p.held[f] && to.rules.indexOf(p.name) < 0 {
				faults.Add("DEP004", where, fmt.Sprintf("link %q does not join system %q, so a reference cannot be translated there", to.name, p.name), "add the system to that link, or leave the field out of System.Fields")
			}
		}
	}
}

// checkWrites: what a write may destroy.
func checkWrites(l *Link, p *party, faults *dovetail.Faults) {
	where := fmt.Sprintf("Config.Systems[%q]", p.name)
	owns, written, shared := "", false, ""
	for f, name := range l.rules.fields {
		switch l.rules.table.Role(f, p.index) {
		case ownership.Owner:
			owns = name
		case ownership.Reader:
			written = true
		case ownership.Sharer:
			written, shared = true, name
		}
	}
	if p.update != nil && written && p.can.FullReplace && !p.can.ConditionalWrite && owns != "" {
		faults.Add("WRT001", where+".Can", fmt.Sprintf("replaces whole records without a version check and owns %q: every update would overwrite it blindly", owns), "declare ConditionalWrite if the API has it, or give the field to another system")
	}
	if p.update != nil && written && p.can.AbsentMeansNull && !p.can.FullReplace {
		faults.Add("WRT003", where+".Can", "treats a field that is left out as empty, but only changed fields are sent", "declare FullReplace too, so that the whole record is sent")
	}
	if shared != "" && !p.can.ConditionalWrite {
		faults.List = append(faults.List, dovetail.Fault{Code: "WRT002", Where: where + ".Can", Warning: true,
			Text: fmt.Sprintf("has no conditional write: shared field %q is guaranteed only outside the time of one request", shared),
			Fix:  "declare ConditionalWrite if the API has one"})
	}
	if written && p.update == nil && p.upsert == nil {
		faults.List = append(faults.List, dovetail.Fault{Code: "WRT004", Where: where + ".Endpoint", Warning: true,
			Text: "can create but not update: a later change cannot reach it and becomes a dead letter", Fix: "implement Updater if the API has updates"})
	}
	if shared != "" && p.update == nil {
		faults.Add("WRT005", where+".Endpoint", fmt.Sprintf("shares field %q but cannot be updated", shared), "implement Updater, or give the field an owner")
	}
}

// checkCreates: a create must be safe to repeat, or said not to be.
func checkCreates(l *Link, p *party, faults *dovetail.Faults) {
	where := fmt.Sprintf("Config.Systems[%q]", p.name)
	if l.rules.table.ExistsRole(p.index) == ownership.Owner || (p.create == nil && p.upsert == nil) {
		return
	}
	if p.upsert == nil && p.can.KeyWindow == 0 && p.find == nil && p.can.OnDoubt == 0 {
		faults.Add("CRE001", where, "can neither deduplicate a create nor be searched: after a lost reply nobody can know whether the record was made",
			"implement Upserter or Finder, declare Can.KeyWindow, or choose Can.OnDoubt: idempotency.Park (a person looks) or idempotency.MayRepeat (duplicates are accepted)")
	}
	if p.upsert == nil && p.can.KeyWindow > 0 && p.find == nil {
		faults.List = append(faults.List, dovetail.Fault{Code: "CRE002", Where: where, Warning: true,
			Text: fmt.Sprintf("remembers an idempotency key for %s: a create in doubt for longer waits for a person", p.can.KeyWindow),
			Fix:  "implement Finder, so that it can be looked up instead"})
	}
	if p.can.KeyWindow < 0 || p.can.FindLag < 0 || p.can.RequestLife < 0 {
		faults.Add("CRE003", where+".Can", "a duration is negative", "write what the vendor documents")
	}
}

// checkReads: a system whose changes matter must be able to tell them.
func checkReads(l *Link, p *party, faults *dovetail.Faults) {
	where := fmt.Sprintf("Config.Systems[%q].Endpoint", p.name)
	if p.changes != nil || p.list != nil {
		return
	}
	source := l.rules.table.ExistsRole(p.index) == ownership.Owner || l.rules.table.ExistsRole(p.index) == ownership.Sharer
	for f := range l.rules.fields {
		if r := l.rules.table.Role(f, p.index); r == ownership.Owner || r == ownership.Sharer {
			source = true
		}
	}
	if source {
		faults.Add("RED001", where, "owns or shares something, but has neither Changes nor List: a change that no webhook tells would never be seen", "implement Changer or Lister")
		return
	}
	faults.List = append(faults.List, dovetail.Fault{Code: "RED002", Where: where, Warning: true,
		Text: "has neither Changes nor List: a trespass or a deletion there is not noticed", Fix: "implement Changer or Lister"})
}
