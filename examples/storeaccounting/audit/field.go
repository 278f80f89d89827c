package audit

import "strings"

// edit is what a person did, as both systems export it.
type edit struct {
	Seq    int64  `json:"seq"`
	At     int64  `json:"at"`
	Person string `json:"person"`
	Record string `json:"record"`
	Field  string `json:"field"`
	Was    string `json:"was"`
	Value  string `json:"value"`
}

const signUp = "sign-up"

// byField sorts edits, which come in order of time, by customer and field.
func byField(edits []edit) map[string][]edit {
	sorted := make(map[string][]edit)
	for _, e := range edits {
		key := e.Record + "\x00" + e.Field
		sorted[key] = append(sorted[key], e)
	}
	return sorted
}

// normal is what accounting makes of a value, by API.md.
func normal(field, value string) string {
	switch field {
	case "name", "address", "phone":
		return strings.Join(strings.Fields(value), " ")
	case "email":
		return strings.ToLower(strings.TrimSpace(value))
	case "tax_number":
		return strings.ToUpper(strings.Join(strings.Fields(value), ""))
	case "payment_terms":
		return strings.ToUpper(strings.TrimSpace(value))
	case "balance":
		return amount(value).FloatString(2)
	}
	return value
}

func (a *auditor) compareFields(name string, customer, contact record) {
	id := customer.get("id")
	for _, field := range storeFields {
		edits := a.storeEdits[id+"\x00"+field]
		if len(edits) == 0 {
			a.disagree(name, field, "the store does not know who set it")
			continue
		}
		want := edits[len(edits)-1]
		a.compareOwned(name, field, want, "store", customer.get(field), "accounting", contact.get(field), normal(field, want.Value))
	}
	for _, field := range accountingFields {
		want := edit{Person: signUp, Value: unset[field]}
		if edits := a.accountingEdits[id+"\x00"+field]; len(edits) > 0 {
			want = edits[len(edits)-1]
		}
		a.compareOwned(name, field, want, "accounting", contact.get(field), "store", customer.get(field), want.Value)
	}
	a.comparePhone(name, id, customer.get("phone"), contact.get("phone"))
}

// compareOwned checks that the owner shows what its people last wrote, and
// that the other side shows the same.
func (a *auditor) compareOwned(name, field string, want edit, owner, ownerShows, other, otherShows, otherShould string) {
	a.report.Fields += 2
	switch {
	case ownerShows == want.Value:
	case want.Person == signUp:
		a.disagree(name, field, "nobody in the %s changed %q, but it shows %q", owner, want.Value, ownerShows)
	default:
		a.lose(name, field, "%s wrote %q, but the %s shows %q", want.Person, want.Value, owner, ownerShows)
	}
	if otherShows != otherShould {
		a.disagree(name, field, "the %s owns it and says %q, the %s shows %q", owner, want.Value, other, otherShows)
	}
}

// comparePhone checks the shared field: the same on both sides, and an edit
// that no later edit took the place of.
func (a *auditor) comparePhone(name, id, inStore, inAccounting string) {
	a.report.Fields += 2
	if normal("phone", inStore) != inAccounting {
		a.disagree(name, "phone", "store %q, accounting %q", inStore, inAccounting)
		return
	}
	ours, theirs := a.storeEdits[id+"\x00phone"], a.accountingEdits[id+"\x00phone"]
	var known bool
	for _, side := range [][2][]edit{{ours, theirs}, {theirs, ours}} {
		for i, e := range side[0] {
			if normal("phone", e.Value) != inAccounting {
				continue
			}
			known = true
			if i == len(side[0])-1 && !replaced(e, side[1]) {
				return
			}
		}
	}
	if known {
		a.lose(name, "phone", "shows %q, which somebody had changed since", inAccounting)
		return
	}
	a.disagree(name, "phone", "shows %q, which no person ever wrote", inAccounting)
}

// replaced says whether somebody on the other side saw e's value and wrote
// another one. Whoever did not see it wrote at the same time: either may stay.
func replaced(e edit, other []edit) bool {
	for _, later := range other {
		if later.At > e.At && normal("phone", later.Was) == normal("phone", e.Value) && normal("phone", later.Value) != normal("phone", e.Value) {
			return true
		}
	}
	return false
}
