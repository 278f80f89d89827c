package ownership_test

import (
	"fmt"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/ownership"
)

func Example() {
	can := map[dovetail.System]bool{"crm": true, "billing": true}
	table, faults := ownership.Check(ownership.Plan{
		Record:  "customer",
		Fields:  []string{"email", "phone", "vat_id"},
		Systems: []dovetail.System{"crm", "billing"},
		Rules: ownership.Rules{
			"email":  ownership.By("crm"),
			"phone":  ownership.Shared("crm", "billing"),
			"vat_id": ownership.By("billing").OnTrespass(ownership.Ask),
		},
		Resolved:  map[string]bool{"phone": true},
		Exists:    ownership.By("crm"),
		CanWrite:  can,
		CanCreate: can,
		CanDelete: can,
	})
	fmt.Println(len(faults), table.Role(0, 1))
	fmt.Print(table.Markdown())
	// Output:
	// 0 reader
	// ## customer: who owns what
	//
	// | field | crm | billing | on trespass | group |
	// | --- | --- | --- | --- | --- |
	// | email | owns | reads | revert | – |
	// | phone | shares | shares | revert | – |
	// | vat_id | reads | owns | ask | – |
	// | *the record itself* | creates, deletes | follows | foreign delete: restore | – |
}

func ExampleCheck() {
	_, faults := ownership.Check(ownership.Plan{
		Record:   "customer",
		Fields:   []string{"email", "phone"},
		Systems:  []dovetail.System{"crm", "billing"},
		Rules:    ownership.Rules{"phone": ownership.Shared("crm", "billing")},
		CanWrite: map[dovetail.System]bool{"crm": true, "billing": true},
	})
	for _, f := range faults {
		fmt.Println(f)
	}
	// Output:
	// OWN001 Config.Fields["email"]: customer.email has no owner and is not declared shared; write "email": ownership.By("crm"), or ownership.Shared("crm", "billing")
	// OWN003 Config.Resolvers["phone"]: customer.phone is shared by billing and crm without a resolver; say who wins when both change it: "phone": conflict.Latest(2*time.Minute, conflict.Park())
	// DEL001 Config.Exists: nobody owns the existence of customer: nobody may create or delete it; write Exists: ownership.By("crm")
}

func ExampleRule_InGroup() {
	address := ownership.By("crm").InGroup("address")
	rules := ownership.Rules{"street": address, "city": address}
	fmt.Println(rules["city"])
	// Output: owned by crm, in group address
}

func ExampleTable_Mermaid() {
	can := map[dovetail.System]bool{"crm": true, "billing": true}
	table, _ := ownership.Check(ownership.Plan{
		Record: "customer", Fields: []string{"email"}, Systems: []dovetail.System{"crm", "billing"},
		Rules: ownership.Rules{"email": ownership.By("crm")}, Exists: ownership.By("crm"),
		CanWrite: can, CanCreate: can, CanDelete: can,
	})
	fmt.Print(table.Mermaid())
	// Output:
	// flowchart LR
	//   s0["crm"]
	//   s1["billing"]
	//   s0 -->|"email<br/>(creates, deletes)"| s1
}
