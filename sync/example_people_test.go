package sync_test

import (
	"context"
	"fmt"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/dovetailtest"
	datasync "github.com/tectari/dovetail/sync"
)

// nobody is a sink for examples in which nothing happens that a person must know.
var nobody = alert.SinkFunc("nobody", func(context.Context, alert.Notification) error { return nil })

// start runs a link until the function it returns is called.
func start(link *datasync.Link) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- datasync.Run(ctx, link) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			fmt.Println(err)
		}
	}
}

// A webhook says which record changed; what it says of the content is not
// believed. The hint is durable once Hint returns.
func ExampleLink_Hint() {
	crm, billing := dovetailtest.NewSystem[Customer]("crm"), dovetailtest.NewSystem[Customer]("billing")
	link, err := agree(crm, billing, nobody)
	if err != nil {
		fmt.Println(err)
		return
	}
	crm.Put("c1", "ann", Customer{Email: "ada@example.com"})
	for range 2 { // as webhooks do
		if err := link.Hint(context.Background(), "crm", "c1", ""); err != nil {
			fmt.Println(err)
		}
	}
	stop := start(link)
	until(func() bool { return len(billing.All()) > 0 })
	stop()
	fmt.Println(len(billing.All()), "record,", billing.Writes(), "write")
	// Output: 1 record, 1 write
}

// Plan is what would be written, field by field and why, without a call to any
// system.
func ExampleLink_Plan() {
	crm, billing := dovetailtest.NewSystem[Customer]("crm"), dovetailtest.NewSystem[Customer]("billing")
	link, err := agree(crm, billing, nobody)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	crm.Put("c1", "ann", Customer{Email: "ada@example.com"})
	if err := link.Poll(ctx, "crm"); err != nil { // read, and write nothing
		fmt.Println(err)
	}
	for w, err := range link.Plan(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(w.Action, "in", w.Target.System+":")
		fmt.Println("  email:", w.Fields["email"])
		fmt.Println("  phone:", w.Fields["phone"])
	}
	fmt.Println(billing.Writes(), "writes")
	// Output:
	// create in billing:
	//   email: crm owns it
	//   phone: crm changed it last
	// 0 writes
}

// Two people changed one phone within a minute of each other: the rule hands it
// to a third, who decides, and says why.
func ExampleLink_Settle() {
	crm, billing := dovetailtest.NewSystem[Customer]("crm"), dovetailtest.NewSystem[Customer]("billing")
	link, err := agree(crm, billing, nobody)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	crm.Put("c1", "ann", Customer{Email: "ada@example.com", Phone: "1"})
	stop := start(link)
	until(func() bool { return len(billing.All()) == 1 })
	stop()
	crm.Edit("c1", "ann", func(c *Customer) { c.Phone = "2" })
	for id := range billing.All() {
		billing.Edit(id, "bob", func(c *Customer) { c.Phone = "3" })
	}
	stop = start(link)
	defer stop()
	var parked []datasync.ParkedRecord
	until(func() bool {
		parked, err = link.Parked(ctx, "", 10)
		return err != nil || len(parked) == 1
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("phone:", parked[0].Fields["phone"])
	if err := link.Settle(ctx, parked[0].Key, "phone", dovetail.String("2"), "cleo", "I called"); err != nil {
		fmt.Println(err)
	}
	until(func() bool {
		for _, c := range billing.All() {
			return c.Phone == "2"
		}
		return false
	})
	x, err := link.Explain(ctx, parked[0].Key, "phone")
	fmt.Println("set by", x.By, err)
	// Output:
	// phone: the two changes are within the clock skew; a person decides
	// set by cleo <nil>
}

// What is promised follows from what the APIs can do.
func ExampleLink_Guarantees() {
	crm, billing := dovetailtest.NewSystem[Customer]("crm"), dovetailtest.NewSystem[Customer]("billing")
	link, err := agree(crm, billing, nobody)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, g := range link.Guarantees() {
		fmt.Println(g.System, g.Field, "-", g.Promise, "-", g.Grade)
	}
	// Output:
	// crm  - one record per source record - strict
	// crm email - never written by us - strict
	// crm phone - no edit is overwritten unseen - strict
	// crm vat_id - shows the owner's value - strict
	// billing  - one record per source record - strict
	// billing email - shows the owner's value - strict
	// billing phone - no edit is overwritten unseen - strict
	// billing vat_id - never written by us - strict
}
