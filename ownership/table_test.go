package ownership_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/ownership"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func compiled(t testing.TB, p ownership.Plan) *ownership.Table {
	t.Helper()
	table, faults := ownership.Check(p)
	require.NotNil(t, table, "%v", faults)
	return table
}

func TestTableAnswersForEachFieldAndSystem(t *testing.T) {
	t.Parallel()
	p := plan()
	p.Has = map[dovetail.System][]string{"shop": {"email", "phone", "street", "city"}}
	table := compiled(t, p)
	const h, r, s, o = ownership.Hidden, ownership.Reader, ownership.Sharer, ownership.Owner
	for f, want := range [][]ownership.Role{
		{o, r, r}, // email: crm
		{s, r, s}, // phone: shared, erp reads
		{r, o, h}, // vat_id: only crm reads it
		{o, r, r}, {o, r, r},
	} {
		for sys, role := range want {
			require.Equal(t, role, table.Role(f, sys), "%s in %s", p.Fields[f], p.Systems[sys])
		}
	}
	for _, out := range [][2]int{{-1, 0}, {0, -1}, {5, 0}, {0, 3}} {
		require.Equal(t, h, table.Role(out[0], out[1]))
	}
	owners := []int{0, -1, 1, 0, 0}
	groups := []int{-1, -1, -1, 0, 0}
	for f := range p.Fields {
		owner, ok := table.Owner(f)
		require.Equal(t, owners[f], owner)
		require.Equal(t, owners[f] >= 0, ok)
		require.Equal(t, groups[f], table.Group(f))
	}
	require.Equal(t, "address", table.GroupName(0))
	require.Equal(t, ownership.Ask, table.Trespass(2))
	require.Equal(t, ownership.Revert, table.Trespass(0))
	require.Equal(t, ownership.Unlink, table.Deletion())
	require.Equal(t, o, table.ExistsRole(0))
	require.Equal(t, r, table.ExistsRole(1))

	var zero ownership.Table
	_, ok := zero.Owner(0)
	require.False(t, ok)
	require.Equal(t, -1, zero.Group(-1))
	require.Empty(t, zero.GroupName(-1))
	require.Equal(t, h, zero.Role(0, 0))
	require.Equal(t, h, zero.ExistsRole(0))
	require.Equal(t, ownership.Revert, zero.Trespass(0))
}

func TestSystemThatCannotBeWrittenIsHiddenFromWhatOthersOwn(t *testing.T) {
	t.Parallel()
	p := plan()
	p.CanWrite["erp"], p.CanCreate["erp"] = false, false
	table := compiled(t, p)
	require.Equal(t, ownership.Hidden, table.Role(0, 1), "a write nobody can deliver is never planned")
	require.Equal(t, ownership.Owner, table.Role(2, 1))
	require.Equal(t, ownership.Hidden, table.ExistsRole(1))

	p = plan()
	p.CanWrite["erp"] = false
	require.Equal(t, ownership.Reader, compiled(t, p).Role(0, 1), "it is written once, when it is created")
}

func TestExistenceMayBeShared(t *testing.T) {
	t.Parallel()
	p := plan()
	p.Exists = ownership.Shared("crm", "shop").ReadOnlyIn()
	table := compiled(t, p)
	require.Equal(t, ownership.Sharer, table.ExistsRole(0))
	require.Equal(t, ownership.Hidden, table.ExistsRole(1))
	require.Equal(t, ownership.Sharer, table.ExistsRole(2))
}

// No plan that Check accepts has a field with two owners, an owner beside a
// sharer, or one sharer alone; and a group is one unit in its rules.
func TestTableProperty(t *testing.T) {
	t.Parallel()
	systems := []dovetail.System{"a", "b", "c"}
	fields := []string{"f", "g", "h"}
	some := rapid.SliceOfDistinct(rapid.SampledFrom(systems), rapid.ID[dovetail.System])
	rapid.Check(t, func(t *rapid.T) {
		can := func(name string) map[dovetail.System]bool {
			m := map[dovetail.System]bool{}
			for _, s := range some.Draw(t, name) {
				m[s] = true
			}
			return m
		}
		rule := func(name string) ownership.Rule {
			r := ownership.By(rapid.SampledFrom(systems).Draw(t, name))
			if rapid.Bool().Draw(t, "shared") {
				r = ownership.Shared(some.Draw(t, name)...)
			}
			if rapid.Bool().Draw(t, "limited") {
				r = r.ReadOnlyIn(some.Draw(t, name)...)
			}
			if rapid.Bool().Draw(t, "grouped") {
				r = r.InGroup("group")
			}
			return r
		}
		p := ownership.Plan{Record: "r", Fields: fields, Systems: systems, CanWrite: can("write"), CanCreate: can("create"), CanDelete: can("delete"), Rules: ownership.Rules{}, Resolved: map[string]bool{}}
		for _, f := range fields {
			p.Rules[f] = rule(f)
			p.Resolved[f] = len(p.Rules[f].Sharers()) > 0
		}
		p.Exists = ownership.By(rapid.SampledFrom(systems).Draw(t, "exists"))
		table, faults := ownership.Check(p)
		again, same := ownership.Check(p)
		require.Equal(t, faults, same, "the faults are found in one order")
		require.Equal(t, table == nil, again == nil)
		if table == nil {
			return
		}
		for f := range fields {
			count := map[ownership.Role]int{}
			for s := range systems {
				role := table.Role(f, s)
				count[role]++
				if role == ownership.Reader || role == ownership.Sharer {
					require.True(t, p.CanWrite[systems[s]] || p.CanCreate[systems[s]], "whoever is written can be")
				}
			}
			owner, owned := table.Owner(f)
			if owned {
				require.Equal(t, ownership.Owner, table.Role(f, owner))
				require.Equal(t, 1, count[ownership.Owner])
				require.Zero(t, count[ownership.Sharer])
				continue
			}
			require.Zero(t, count[ownership.Owner])
			require.GreaterOrEqual(t, count[ownership.Sharer], 2)
		}
	})
}

func TestTableKeepsNothingOfThePlan(t *testing.T) {
	t.Parallel()
	p := plan()
	table := compiled(t, p)
	before := table.Markdown()
	p.Fields[0], p.Systems[0] = "x", "y"
	p.Rules["email"] = ownership.By("shop")
	require.Equal(t, before, table.Markdown())
}

func TestHashIsStableOverOrder(t *testing.T) {
	t.Parallel()
	want := compiled(t, plan()).Hash()
	require.Len(t, want, 32)
	for range 20 {
		p := plan()
		slices.Reverse(p.Fields)
		slices.Reverse(p.Systems)
		p.Rules["phone"] = ownership.Shared("shop", "crm")
		p.CanDelete = nil // what endpoints can do is no rule
		require.Equal(t, want, compiled(t, p).Hash())
	}
}

func TestHashChangesWithAnyRule(t *testing.T) {
	t.Parallel()
	seen := map[string]string{compiled(t, plan()).Hash(): "as it was"}
	for name, change := range map[string]func(p *ownership.Plan){
		"owner": func(p *ownership.Plan) { p.Rules["email"] = ownership.By("shop") },
		"shared": func(p *ownership.Plan) {
			p.Rules["email"] = ownership.Shared("crm", "shop")
			p.Resolved["email"] = true
		},
		"sharer":       func(p *ownership.Plan) { p.Rules["phone"] = ownership.Shared("crm", "erp") },
		"more sharers": func(p *ownership.Plan) { p.Rules["phone"] = ownership.Shared("crm", "erp", "shop") },
		"readers": func(p *ownership.Plan) {
			p.Rules["vat_id"] = ownership.By("erp").ReadOnlyIn("shop").OnTrespass(ownership.Ask)
		},
		"limit":    func(p *ownership.Plan) { p.Rules["vat_id"] = ownership.By("erp").OnTrespass(ownership.Ask) },
		"hidden":   func(p *ownership.Plan) { p.Rules["email"] = ownership.By("crm").ReadOnlyIn() },
		"trespass": func(p *ownership.Plan) { p.Rules["email"] = ownership.By("crm").OnTrespass(ownership.Tolerate) },
		"group": func(p *ownership.Plan) {
			p.Rules["email"] = ownership.By("crm").InGroup("address")
		},
		"group's name": func(p *ownership.Plan) {
			p.Rules["street"], p.Rules["city"] = ownership.By("crm").InGroup("adr"), ownership.By("crm").InGroup("adr")
		},
		"existence":      func(p *ownership.Plan) { p.Exists = ownership.By("shop").OnForeignDelete(ownership.Unlink) },
		"deletion":       func(p *ownership.Plan) { p.Exists = ownership.By("crm") },
		"one field more": func(p *ownership.Plan) { p.Fields = append(p.Fields, "zip"); p.Rules["zip"] = ownership.By("crm") },
		"a field renamed": func(p *ownership.Plan) {
			p.Fields[0] = "mail"
			p.Rules["mail"] = p.Rules["email"]
			delete(p.Rules, "email")
		},
		"the record": func(p *ownership.Plan) { p.Record = "client" },
	} {
		p := plan()
		change(&p)
		h := compiled(t, p).Hash()
		require.Empty(t, seen[h], name)
		seen[h] = name
	}
}

func TestRenderings(t *testing.T) {
	t.Parallel()
	p := plan()
	p.Systems = append(p.Systems, `odd|"<x>`)
	p.CanWrite[`odd|"<x>`] = true
	p.Exists = ownership.Shared("crm", "shop").ReadOnlyIn("erp")
	table := compiled(t, p)
	for file, got := range map[string]string{"customer.md": table.Markdown(), "customer.mmd": table.Mermaid()} {
		path := filepath.Join("testdata", file)
		if *update {
			require.NoError(t, os.WriteFile(path, []byte(got), 0o600))
		}
		want, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, string(want), got)
	}
}

// A name can neither end a cell, nor a row, nor a label.
func TestRenderingsCannotBeBrokenByNames(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching("[a|\\\\`*\"<>&#\\[\\]\n\r\t]{1,8}")
		p := plan()
		p.Record = name.Draw(t, "record")
		field := name.Draw(t, "field")
		p.Fields[0] = field
		p.Rules[field] = p.Rules["email"]
		delete(p.Rules, "email")
		table, faults := ownership.Check(p)
		require.NotNil(t, table, "%v", faults)
		lines := strings.Split(strings.TrimSuffix(table.Markdown(), "\n"), "\n")
		require.Len(t, lines, 2+2+len(p.Fields)+1)
		for _, l := range lines[2:] {
			plain := strings.NewReplacer(`\\`, "", `\|`, "").Replace(l)
			require.Equal(t, 7, strings.Count(plain, "|"), l)
		}
		for l := range strings.Lines(table.Mermaid()) {
			require.Contains(t, []int{0, 2}, strings.Count(l, `"`), l)
		}
	})
}

func TestRulesAreValues(t *testing.T) {
	t.Parallel()
	systems := []dovetail.System{"crm", "erp"}
	r := ownership.Shared(systems...)
	systems[0] = "bank"
	require.Equal(t, "shared by crm and erp", r.String())
	a := r.ReadOnlyIn("v").ReadOnlyIn("w").ReadOnlyIn("x") // room is left behind the third
	b, c := a.ReadOnlyIn("y"), a.ReadOnlyIn("z")
	require.Equal(t, "shared by crm and erp", r.String())
	require.Equal(t, "shared by crm and erp, read-only in v, w and x", a.String())
	require.Equal(t, "shared by crm and erp, read-only in v, w, x and y", b.String())
	require.Equal(t, "shared by crm and erp, read-only in v, w, x and z", c.String())
	full := ownership.By("crm").ReadOnlyIn().OnTrespass(ownership.Ask).OnForeignDelete(ownership.AskDeletion).InGroup("g")
	require.Equal(t, "owned by crm, hidden elsewhere, on trespass ask, on foreign delete ask, in group g", full.String())
	require.Equal(t, "no rule", ownership.Rule{}.String())
	require.Equal(t, "role(7)", ownership.Role(7).String())
	owner, ok := full.Owner()
	require.True(t, ok)
	require.Equal(t, dovetail.System("crm"), owner)
	_, ok = r.Owner()
	require.False(t, ok)
}

func TestRoleDoesNotAllocate(t *testing.T) {
	table := compiled(t, plan())
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for f := range 5 {
			for s := range 3 {
				_ = table.Role(f, s)
			}
			_, _ = table.Owner(f)
			_, _, _ = table.Group(f), table.Trespass(f), table.ExistsRole(f)
		}
	}))
}

func BenchmarkRole(b *testing.B) {
	table := compiled(b, plan())
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n += int(table.Role(n%5, n%3))
	}
}

func BenchmarkCheck(b *testing.B) {
	p := plan()
	b.ReportAllocs()
	for b.Loop() {
		if table, _ := ownership.Check(p); table == nil {
			b.Fatal("refused")
		}
	}
}
