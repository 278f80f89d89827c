package ownership_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/ownership"
)

// plan is a sound plan of three systems, made anew for each test to spoil.
func plan() ownership.Plan {
	can := func() map[dovetail.System]bool {
		return map[dovetail.System]bool{"crm": true, "erp": true, "shop": true}
	}
	return ownership.Plan{
		Record:    "customer",
		Fields:    []string{"email", "phone", "vat_id", "street", "city"},
		Systems:   []dovetail.System{"crm", "erp", "shop"},
		CanWrite:  can(),
		CanCreate: can(),
		CanDelete: can(),
		Rules: ownership.Rules{
			"email":  ownership.By("crm"),
			"phone":  ownership.Shared("crm", "shop"),
			"vat_id": ownership.By("erp").ReadOnlyIn("crm").OnTrespass(ownership.Ask),
			"street": ownership.By("crm").InGroup("address"),
			"city":   ownership.By("crm").InGroup("address"),
		},
		Exists:   ownership.By("crm").OnForeignDelete(ownership.Unlink),
		Resolved: map[string]bool{"phone": true},
	}
}

// spoilt is one way to write a plan wrongly, and all that is said about it.
type spoilt struct {
	name  string
	spoil func(p *ownership.Plan)
	want  []string // "CODE where: text; fix"
}

func cases() []spoilt {
	return []spoilt{
		{"field without a rule", func(p *ownership.Plan) { delete(p.Rules, "email") },
			[]string{`OWN001 Config.Fields["email"]: customer.email has no owner and is not declared shared; write "email": ownership.By("crm"), or ownership.Shared("crm", "erp", "shop")`}},
		{"field that one endpoint holds", func(p *ownership.Plan) {
			delete(p.Rules, "email")
			p.Has = map[dovetail.System][]string{"erp": {"phone", "vat_id", "street", "city"}, "shop": {"phone", "vat_id", "street", "city"}}
		}, []string{`OWN001 Config.Fields["email"]: customer.email has no owner and is not declared shared; write "email": ownership.By("crm")`}},
		{"field that no endpoint holds", func(p *ownership.Plan) {
			p.Fields, p.Has = []string{"email"}, map[dovetail.System][]string{"crm": {}, "erp": {}, "shop": nil}
			p.Rules, p.Resolved = ownership.Rules{}, nil
		}, []string{`OWN001 Config.Fields["email"]: customer.email has no owner and is not declared shared; no endpoint holds it: add it to one, or remove it from the record`}},
		{"owner does not hold the field", func(p *ownership.Plan) {
			p.Has = map[dovetail.System][]string{"crm": {"phone", "vat_id", "street", "city"}}
		}, []string{`OWN002 Config.Fields["email"]: customer.email is owned by crm, but the crm endpoint does not hold it; add it to that endpoint; erp and shop can give it`}},
		{"sharer does not hold the field", func(p *ownership.Plan) {
			p.Has = map[dovetail.System][]string{"shop": {"email", "vat_id", "street", "city"}}
		}, []string{`OWN002 Config.Fields["phone"]: customer.phone is shared by crm and shop, but the shop endpoint does not hold it; add it to that endpoint; crm and erp can give it`}},
		{"reader does not hold the field", func(p *ownership.Plan) {
			p.Has = map[dovetail.System][]string{"crm": {"email", "phone", "street", "city"}}
		}, []string{
			`OWN002 Config.Fields["vat_id"]: customer.vat_id is read-only in crm, but the crm endpoint does not hold it; add it to that endpoint, or take it out of ReadOnlyIn`,
			`OWN032 Config.Fields["vat_id"]: customer.vat_id reaches no other system; let another system hold it, or leave the field out`,
		}},
		{"shared without a resolver", func(p *ownership.Plan) { p.Resolved = nil },
			[]string{`OWN003 Config.Resolvers["phone"]: customer.phone is shared by crm and shop without a resolver; say who wins when both change it: "phone": conflict.Latest(2*time.Minute, conflict.Park())`}},
		{"resolver that is false", func(p *ownership.Plan) { p.Resolved["phone"], p.Resolved["email"] = false, false },
			[]string{`OWN003 Config.Resolvers["phone"]: customer.phone is shared by crm and shop without a resolver; say who wins when both change it: "phone": conflict.Latest(2*time.Minute, conflict.Park())`}},
		{"group with two owners", func(p *ownership.Plan) { p.Rules["city"] = ownership.By("erp").InGroup("address") },
			[]string{`OWN004 Config.Fields["city"]: the fields of group "address" have different rules: customer.street is owned by crm, in group address, customer.city is owned by erp, in group address; give them the same rule, or take one out of the group`}},
		{"group with two policies", func(p *ownership.Plan) {
			p.Rules["city"] = ownership.By("crm").OnTrespass(ownership.Tolerate).InGroup("address")
		}, []string{`OWN004 Config.Fields["city"]: the fields of group "address" have different rules: customer.street is owned by crm, in group address, customer.city is owned by crm, on trespass tolerate, in group address; give them the same rule, or take one out of the group`}},
		{"group that some may read in part", func(p *ownership.Plan) {
			p.Rules["city"] = ownership.By("crm").ReadOnlyIn("erp").InGroup("address")
		}, []string{`OWN004 Config.Fields["city"]: the fields of group "address" have different rules: customer.street is owned by crm, in group address, customer.city is owned by crm, read-only in erp, in group address; give them the same rule, or take one out of the group`}},
		{"rule for an unknown field", func(p *ownership.Plan) { p.Rules["vatId"] = ownership.By("erp") },
			[]string{`OWN010 Config.Fields["vatId"]: customer has no field "vatId"; did you mean "vat_id"? Or remove the rule`}},
		{"rule for a field like no other", func(p *ownership.Plan) { p.Rules["balance"] = ownership.By("erp") },
			[]string{`OWN010 Config.Fields["balance"]: customer has no field "balance"; remove the rule`}},
		{"zero rule", func(p *ownership.Plan) { p.Rules["email"] = ownership.Rule{}.InGroup("address") },
			[]string{
				`OWN011 Config.Fields["email"]: the rule of customer.email names nobody; write "email": ownership.By("crm"), or ownership.Shared("crm", "erp", "shop")`,
				`OWN004 Config.Fields["street"]: the fields of group "address" have different rules: customer.email is no rule, customer.street is owned by crm, in group address; give them the same rule, or take one out of the group`,
				`OWN004 Config.Fields["city"]: the fields of group "address" have different rules: customer.email is no rule, customer.city is owned by crm, in group address; give them the same rule, or take one out of the group`,
			}},
		{"reader without a name", func(p *ownership.Plan) { p.Rules["email"] = ownership.By("crm").ReadOnlyIn("") },
			[]string{`OWN011 Config.Fields["email"]: the rule of customer.email names a system without a name; name it`}},
		{"unknown owner", func(p *ownership.Plan) { p.Rules["email"] = ownership.By("cmr") },
			[]string{`OWN012 Config.Fields["email"]: customer.email is owned by cmr, which is no configured system; did you mean "crm"? Or add it to Config.Systems`}},
		{"misspelt owner", func(p *ownership.Plan) { p.Rules["email"] = ownership.By("Shop") },
			[]string{`OWN012 Config.Fields["email"]: customer.email is owned by Shop, which is no configured system; did you mean "shop"? Or add it to Config.Systems`}},
		{"unknown sharer", func(p *ownership.Plan) { p.Rules["phone"] = ownership.Shared("crm", "bank") },
			[]string{`OWN012 Config.Fields["phone"]: customer.phone is shared by bank, which is no configured system; add it to Config.Systems`}},
		{"unknown reader", func(p *ownership.Plan) { p.Rules["email"] = ownership.By("crm").ReadOnlyIn("shops") },
			[]string{`OWN012 Config.Fields["email"]: customer.email is read-only in shops, which is no configured system; did you mean "shop"? Or add it to Config.Systems`}},
		{"shared by one", func(p *ownership.Plan) { p.Rules["phone"] = ownership.Shared("crm") },
			[]string{`OWN013 Config.Fields["phone"]: customer.phone is shared by 1 system; name two or more, or write ownership.By for the one`}},
		{"shared by none", func(p *ownership.Plan) { p.Rules["phone"] = ownership.Shared() },
			[]string{`OWN013 Config.Fields["phone"]: customer.phone is shared by 0 system; name two or more, or write ownership.By for the one`}},
		{"resolver for an owned field", func(p *ownership.Plan) { p.Resolved["email"] = true },
			[]string{`OWN014 Config.Resolvers["email"]: customer.email is owned by crm: its resolver would never be asked; remove it, or write "email": ownership.Shared(...)`}},
		{"resolver for an unknown field", func(p *ownership.Plan) { p.Resolved["fone"] = true },
			[]string{`OWN014 Config.Resolvers["fone"]: customer has no field "fone"; remove the resolver`}},
		{"shared twice by one", func(p *ownership.Plan) { p.Rules["phone"] = ownership.Shared("crm", "crm") },
			[]string{`OWN015 Config.Fields["phone"]: the rule of customer.phone names crm twice; name it once: the owner and the sharers are no readers`}},
		{"owner as reader", func(p *ownership.Plan) { p.Rules["email"] = ownership.By("crm").ReadOnlyIn("crm") },
			[]string{`OWN015 Config.Fields["email"]: the rule of customer.email names crm twice; name it once: the owner and the sharers are no readers`}},
		{"delete policy on a field", func(p *ownership.Plan) { p.Rules["email"] = ownership.By("crm").OnForeignDelete(ownership.Restore) },
			[]string{`OWN016 Config.Fields["email"]: OnForeignDelete says what happens to a whole record, not to a field; move it to Config.Exists`}},
		{"group without a name", func(p *ownership.Plan) { p.Rules["email"] = ownership.By("crm").InGroup("") },
			[]string{`OWN016 Config.Fields["email"]: InGroup names no group; name it: InGroup("address")`}},
		{"unknown policy", func(p *ownership.Plan) { p.Rules["email"] = ownership.By("crm").OnTrespass(9) },
			[]string{`OWN016 Config.Fields["email"]: the rule of customer.email has an unknown policy: trespass(9), restore; use the constants of package ownership`}},
		{"existence with a field's policies", func(p *ownership.Plan) { p.Exists = ownership.By("crm").OnTrespass(ownership.Revert).InGroup("x") },
			[]string{
				`OWN016 Config.Exists: OnTrespass is about a field's value, not about the record; write OnForeignDelete, or leave it out`,
				`OWN016 Config.Exists: the existence of a record is in no group; leave InGroup out`,
			}},
		{"system that takes no part", func(p *ownership.Plan) {
			p.Systems = append(p.Systems, "bank")
			for f, r := range p.Rules {
				p.Rules[f] = r.ReadOnlyIn()
			}
			p.Exists = ownership.By("crm").ReadOnlyIn("shop")
		}, []string{
			`OWN032 Config.Fields["email"]: customer.email reaches no other system; let another system hold it, or leave the field out`,
			`OWN032 Config.Fields["street"]: customer.street reaches no other system; let another system hold it, or leave the field out`,
			`OWN032 Config.Fields["city"]: customer.city reaches no other system; let another system hold it, or leave the field out`,
			`OWN017 Config.Systems[3]: bank owns nothing and can be written nothing: it takes no part; let bank own a field, give its endpoint an update, or remove it`,
		}},
		{"sharer that cannot be written", func(p *ownership.Plan) { p.CanWrite["shop"] = false },
			[]string{
				`OWN031 Config.Fields["email"]: customer.email reaches shop only when the record is created: shop has no update; give the shop endpoint an update`,
				`OWN018 Config.Fields["phone"]: customer.phone is shared by crm and shop, but shop cannot be written: it would never agree; give the shop endpoint an update, or write "phone": ownership.By("shop")`,
				`OWN031 Config.Fields["street"]: customer.street reaches shop only when the record is created: shop has no update; give the shop endpoint an update`,
				`OWN031 Config.Fields["city"]: customer.city reaches shop only when the record is created: shop has no update; give the shop endpoint an update`,
			}},
		{"readers that cannot be written", func(p *ownership.Plan) {
			p.CanWrite["erp"], p.CanCreate["erp"] = false, false
			p.Fields, p.Rules, p.Resolved = []string{"email", "vat_id"}, ownership.Rules{"email": ownership.By("crm"), "vat_id": ownership.By("crm").ReadOnlyIn("erp")}, nil
			p.Exists = ownership.By("erp").ReadOnlyIn("crm", "shop")
		}, []string{
			`OWN030 Config.Fields["email"]: customer.email does not reach erp, which cannot be written; give the erp endpoint an update, or say which systems read the field with ReadOnlyIn`,
			`OWN018 Config.Fields["vat_id"]: customer.vat_id is read-only in erp, but erp cannot be written: it would never arrive; give the erp endpoint an update, or take erp out of ReadOnlyIn`,
			`OWN032 Config.Fields["vat_id"]: customer.vat_id reaches no other system; let another system hold it, or leave the field out`,
		}},
		{"endpoint with a field of its own", func(p *ownership.Plan) {
			p.Has = map[dovetail.System][]string{"shop": append(slices.Clone(p.Fields), "e_mail", "")}
		}, []string{
			`OWN019 Config.Systems: the endpoint of shop holds "e_mail", which is no field of customer; did you mean "email"? Or add it to the record, or leave it out there`,
			`OWN019 Config.Systems: the endpoint of shop holds "", which is no field of customer; add it to the record, or leave it out there`,
		}},
		{"one system", func(p *ownership.Plan) {
			p.Systems, p.Fields, p.Resolved = []dovetail.System{"crm"}, []string{"email"}, nil
			p.Rules = ownership.Rules{"email": ownership.By("crm")}
		}, []string{
			`OWN020 Config.Systems: an agreement needs two systems or more, not 1; add the others`,
			`OWN032 Config.Fields["email"]: customer.email reaches no other system; let another system hold it, or leave the field out`,
		}},
		{"systems named twice and not at all", func(p *ownership.Plan) { p.Systems = append(p.Systems, "erp", "") },
			[]string{
				`OWN021 Config.Systems[3]: erp is named twice; give each system a name of its own`,
				`OWN021 Config.Systems[4]: the system has no name; write who it is: "crm"`,
			}},
		{"no names", func(p *ownership.Plan) { p.Record, p.Fields = "", append(p.Fields, "", "email") },
			[]string{
				`OWN022 Config.Name: the record type has no name; write what it is: "customer"`,
				`OWN022 Config.Fields: field 6 of the record has no name; name it`,
				`OWN022 Config.Fields["email"]: email is listed twice; remove one, or give it another name`,
			}},
		{"no fields", func(p *ownership.Plan) { p.Fields, p.Rules, p.Resolved = nil, nil, nil },
			[]string{`OWN022 Config.Fields: customer has no fields; name at least one`}},
		{"nobody owns existence", func(p *ownership.Plan) { p.Exists = ownership.Rule{} },
			[]string{`DEL001 Config.Exists: nobody owns the existence of customer: nobody may create or delete it; write Exists: ownership.By("crm")`}},
		{"unknown owner of existence", func(p *ownership.Plan) { p.Exists = ownership.By("crmm") },
			[]string{`OWN012 Config.Exists: the existence of customer is owned by crmm, which is no configured system; did you mean "crm"? Or add it to Config.Systems`}},
		{"existence in a system without create", func(p *ownership.Plan) {
			p.CanCreate["shop"] = false
			p.Exists = ownership.By("crm").ReadOnlyIn("shop")
		}, []string{`OWN018 Config.Exists: the existence of customer takes in shop, but its endpoint cannot create; give the shop endpoint a create, or leave shop out of the rule`}},
		{"no create", func(p *ownership.Plan) { p.CanCreate["shop"] = false },
			[]string{`DEL002 Config.Exists: customer records are not created in shop, nor restored there: its endpoint has no create; give the shop endpoint a create, or say so with ReadOnlyIn`}},
		{"no delete", func(p *ownership.Plan) { p.CanDelete = nil },
			[]string{
				`DEL003 Config.Exists: a deleted customer stays in erp: its endpoint has no delete; give the erp endpoint a delete, or expect to remove it by hand`,
				`DEL003 Config.Exists: a deleted customer stays in shop: its endpoint has no delete; give the shop endpoint a delete, or expect to remove it by hand`,
			}},
		{"group of one", func(p *ownership.Plan) { p.Rules["email"] = ownership.By("crm").InGroup("mail") },
			[]string{`OWN033 Config.Fields["email"]: customer.email is alone in group "mail"; put the fields that belong with it into the group, or leave InGroup out`}},
		{"half a group", func(p *ownership.Plan) {
			p.Has = map[dovetail.System][]string{"shop": {"email", "phone", "vat_id", "city"}}
		}, []string{`OWN034 Config.Systems: shop holds 1 of the 2 fields of group "address"; let the shop endpoint hold street, city`}},
	}
}

func TestCheckFindsEachFault(t *testing.T) {
	t.Parallel()
	for _, tc := range cases() {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := plan()
			tc.spoil(&p)
			table, faults := ownership.Check(p)
			var got []string
			stops := false
			for _, f := range faults {
				got = append(got, f.String())
				stops = stops || !f.Warning
				require.NotEmpty(t, f.Code)
				require.NotEmpty(t, f.Where)
				require.NotEmpty(t, f.Text)
				require.NotEmpty(t, f.Fix)
			}
			require.Equal(t, tc.want, got)
			require.Equal(t, stops, table == nil, "a table exactly when nothing stops the start")
		})
	}
}

func TestCheckAcceptsASoundPlan(t *testing.T) {
	t.Parallel()
	table, faults := ownership.Check(plan())
	require.Empty(t, faults)
	require.NotNil(t, table)
}

// All faults of all cases at once: none hides another's code.
func TestCheckFindsAllAtOnce(t *testing.T) {
	t.Parallel()
	p := plan()
	p.Record = ""
	delete(p.Rules, "email")
	p.Rules["phone"] = ownership.Shared("crm")
	p.Rules["vat_id"] = ownership.By("bank")
	p.Rules["city"] = ownership.By("erp").InGroup("address")
	p.Rules["zip"] = ownership.By("crm")
	p.Exists = ownership.Rule{}
	p.Resolved["street"] = true
	table, faults := ownership.Check(p)
	require.Nil(t, table)
	var codes []string
	for _, f := range faults {
		codes = append(codes, f.Code)
	}
	require.Equal(t, []string{"OWN022", "OWN001", "OWN013", "OWN012", "OWN010", "OWN004", "OWN014", "DEL001"}, codes)
}

func TestCheckOfNothingDoesNotPanic(t *testing.T) {
	t.Parallel()
	table, faults := ownership.Check(ownership.Plan{})
	require.Nil(t, table)
	require.NotEmpty(t, faults)
}

// The list of codes in the package comment is the list of codes that exist.
func TestEachCodeIsDocumentedAndTested(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("ownership.go")
	require.NoError(t, err)
	_, doc, _ := strings.Cut(string(text), "# Codes")
	stops, warns, _ := strings.Cut(doc, "And as warnings")
	code := regexp.MustCompile(`(OWN|DEL)\d{3}`)
	documented := map[string]bool{} // code → warning
	for _, c := range code.FindAllString(stops, -1) {
		documented[c] = false
	}
	for _, c := range code.FindAllString(warns, -1) {
		documented[c] = true
	}
	seen := map[string]bool{}
	for _, tc := range cases() {
		p := plan()
		tc.spoil(&p)
		_, faults := ownership.Check(p)
		for _, f := range faults {
			seen[f.Code] = f.Warning
		}
	}
	require.Equal(t, documented, seen)
	require.Len(t, slices.Collect(maps.Keys(seen)), 25)
}
