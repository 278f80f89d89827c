package sync_test

import (
	"context"
	"fmt"
	"time"

	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/conflict"
	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/ownership"
	"github.com/tectari/dovetail/store/memstore"
	datasync "github.com/tectari/dovetail/sync"
)

// Sixty customers were deleted in the CRM at once. Billing loses twenty at most
// before a person is asked; the alert says what to call.
func ExampleLink_Approve() {
	crm, billing := dovetailtest.NewSystem[Customer]("crm"), dovetailtest.NewSystem[Customer]("billing")
	told := make(chan alert.Problem, 10)
	link, err := agree(crm, billing, alert.SinkFunc("person", func(_ context.Context, n alert.Notification) error {
		if n.State == alert.Firing {
			told <- n.Problem
		}
		return nil
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	for i := range 100 {
		crm.Put(fmt.Sprintf("c%03d", i), "ann", Customer{Email: fmt.Sprintf("%d@example.com", i)})
	}
	stop := start(link)
	until(func() bool { return len(billing.All()) == 100 })
	stop()
	for i := range 60 {
		crm.Remove(fmt.Sprintf("c%03d", i), "script")
	}
	stop = start(link)
	p := <-told
	stop()
	fmt.Println(p.Rule, "in", p.System+":", p.Code)
	fmt.Println("still there:", len(billing.All()) >= 80)
	fmt.Println(p.Hint)
	fmt.Println(link.Approve(context.Background(), "billing/deletes", "cleo", "they left us in spring"))
	// Output:
	// brake in billing: deletes
	// still there: true
	// check that it is meant, then call Approve(ctx, "billing/deletes", …)
	// <nil>
}

// An audit compares both systems with what is held to be right. It writes
// nothing; Reconcile repairs what it found, by the rules.
func ExampleLink_Audit() {
	crm, billing := dovetailtest.NewSystem[Customer]("crm"), dovetailtest.NewSystem[Customer]("billing")
	link, err := agree(crm, billing, nobody)
	if err != nil {
		fmt.Println(err)
		return
	}
	crm.Put("c1", "ann", Customer{Email: "ada@example.com"})
	crm.Put("c2", "ann", Customer{Email: "bob@example.com"})
	stop := start(link)
	until(func() bool { return len(billing.All()) == 2 })
	stop()
	crm.Edit("c1", "ann", func(c *Customer) { c.Email = "ada@example.org" })
	crm.Remove("c2", "ann")
	for d, err := range link.Audit(context.Background()) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(d.Ref, d.Field, "-", d.What)
	}
	// Output:
	// crm:c1 email - it shows a change that was not observed yet
	// crm:c2  - it is not in the list
}

// Whatever a webhook or the feed of changes did not tell, a full listing finds.
func ExampleLink_Reconcile() {
	crm, billing := dovetailtest.NewSystem[Customer]("crm"), dovetailtest.NewSystem[Customer]("billing")
	link, err := agree(crm, billing, nobody)
	if err != nil {
		fmt.Println(err)
		return
	}
	crm.Put("c1", "ann", Customer{Email: "ada@example.com"})
	if err := link.Reconcile(context.Background(), "crm"); err != nil { // nightly, for example
		fmt.Println(err)
		return
	}
	for w, err := range link.Plan(context.Background()) {
		fmt.Println(w.Action, "in", w.Target.System, err)
	}
	// Output: create in billing <nil>
}

// The e-mail address moves from the CRM to billing. The link does not start under
// the new rules before somebody has seen what they mean, and said so.
func ExampleLink_Transfer() {
	ctx := context.Background()
	crm, billing := dovetailtest.NewSystem[Customer]("crm"), dovetailtest.NewSystem[Customer]("billing")
	alerts, err := alert.New(alert.Config{Routes: []alert.Route{{To: []alert.Sink{nobody}}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	store := memstore.New()
	open := func(owner ownership.Rule) (*datasync.Link, error) {
		queue, err := outbox.New(outbox.Config{Store: store, Alerts: alerts})
		if err != nil {
			return nil, err
		}
		return datasync.New(datasync.Config[Customer]{
			Name: "customers",
			Systems: []datasync.System[Customer]{
				{Name: "crm", Endpoint: crm, Can: crm.Capabilities(), Poll: 20 * time.Millisecond},
				{Name: "billing", Endpoint: billing, Can: billing.Capabilities(), Poll: 20 * time.Millisecond},
			},
			Fields:    ownership.Rules{"email": owner, "phone": ownership.Shared("crm", "billing"), "vat_id": ownership.By("billing")},
			Resolvers: conflict.Fields{"phone": conflict.Latest(time.Minute, conflict.Park())},
			Exists:    ownership.By("crm"),
			Store:     store, Queue: queue, Alerts: alerts,
		})
	}
	link, err := open(ownership.By("crm").OnTrespass(ownership.Tolerate))
	if err != nil {
		fmt.Println(err)
		return
	}
	crm.Put("c1", "ann", Customer{Email: "ada@example.com"})
	stop := start(link)
	until(func() bool { return len(billing.All()) == 1 })
	stop()
	for id := range billing.All() {
		billing.Edit(id, "bob", func(c *Customer) { c.Email = "invoices@example.com" })
	}
	key, _, err := link.Key(ctx, "crm", "c1")
	if err != nil {
		fmt.Println(err)
	}
	stop = start(link)
	until(func() bool {
		x, err := link.Explain(ctx, key, "email")
		return err != nil || x.Shown["billing"].Text() == "invoices@example.com"
	})
	stop()

	link, err = open(ownership.By("billing"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(link.Poll(ctx, "crm"))
	preview, err := link.Transfer(ctx, false, "", "")
	fmt.Println(preview.Records, "record, differing:", preview.Differs, err)
	done, err := link.Transfer(ctx, true, "cleo", "billing keeps the addresses now")
	fmt.Println("applied:", done.Applied, err)
	stop = start(link)
	until(func() bool { return crm.All()["c1"].Email == "invoices@example.com" })
	stop()
	fmt.Println("crm has", crm.All()["c1"].Email)
	// Output:
	// sync: the rules have changed since this link last ran: link "customers": look at Link.Transfer with apply false, which counts what would change, then apply it
	// 1 record, differing: map[email:1] <nil>
	// applied: true <nil>
	// crm has invoices@example.com
}

// A CRM that shows no change for a whole day has lost its webhooks, or is
// filtered: a person is told once, and once more when it speaks again.
func ExampleSystem_silentAfter() {
	crm, billing := dovetailtest.NewSystem[Customer]("crm"), dovetailtest.NewSystem[Customer]("billing")
	told := make(chan string, 10)
	person := alert.SinkFunc("person", func(_ context.Context, n alert.Notification) error {
		told <- fmt.Sprint(n.State, ": ", n.Problem.Rule, " ", n.Problem.System)
		return nil
	})
	alerts, err := alert.New(alert.Config{Settle: -1, Routes: []alert.Route{{To: []alert.Sink{person}, Wait: -1}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	store := memstore.New()
	queue, err := outbox.New(outbox.Config{Store: store, Alerts: alerts})
	if err != nil {
		fmt.Println(err)
		return
	}
	link, err := datasync.New(datasync.Config[Customer]{
		Name: "customers",
		Systems: []datasync.System[Customer]{
			{Name: "crm", Endpoint: crm, Can: crm.Capabilities(), Poll: 10 * time.Millisecond, SilentAfter: 200 * time.Millisecond}, // a day
			{Name: "billing", Endpoint: billing, Can: billing.Capabilities()},
		},
		Fields: ownership.Rules{"email": ownership.By("crm"), "phone": ownership.By("crm"), "vat_id": ownership.By("billing")},
		Exists: ownership.By("crm"),
		Store:  store, Queue: queue, Alerts: alerts,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	stop := start(link)
	fmt.Println(<-told)
	stop()
	// Output: firing: silent crm
}
