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

// Customer is what both systems agree a customer is.
type Customer struct {
	Email string `json:"email"`
	Phone string `json:"phone"`
	VATID string `json:"vat_id"`
}

func agree(crm, billing *dovetailtest.System[Customer], person alert.Sink) (*datasync.Link, error) {
	alerts, err := alert.New(alert.Config{Routes: []alert.Route{{To: []alert.Sink{person}, Wait: -1}}})
	if err != nil {
		return nil, err
	}
	store := memstore.New() // sqlstore.New(db, sqlstore.SQLite) outlives the process
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
		Fields: ownership.Rules{
			"email":  ownership.By("crm"), // elsewhere read-only: a change there is reverted
			"phone":  ownership.Shared("crm", "billing"),
			"vat_id": ownership.By("billing"),
		},
		Resolvers: conflict.Fields{"phone": conflict.Latest(time.Minute, conflict.Park())},
		Exists:    ownership.By("crm"), // who creates and deletes
		Store:     store, Queue: queue, Alerts: alerts,
	}) // the error names every decision that is still open, and what to write
}

func Example() {
	crm, billing := dovetailtest.NewSystem[Customer]("crm"), dovetailtest.NewSystem[Customer]("billing")
	told := make(chan string, 10)
	link, err := agree(crm, billing, alert.SinkFunc("person", func(_ context.Context, n alert.Notification) error {
		told <- n.Problem.Title
		return nil
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- datasync.Run(ctx, link) }()

	crm.Put("c1", "ann", Customer{Email: "ada@example.com", Phone: "+49 30 1234"})
	until(func() bool { return len(billing.All()) == 1 })
	for id, c := range billing.All() {
		fmt.Println("billing has", c.Email)
		billing.Edit(id, "bob", func(c *Customer) { c.Email = "wrong@example.com" })
	}
	fmt.Println("a person reads:", <-told)
	until(func() bool {
		for _, c := range billing.All() {
			return c.Email == "ada@example.com"
		}
		return false
	})
	fmt.Println("billing says again what its owner says")
	stop()
	if err := <-ended; err != nil {
		fmt.Println(err)
	}
	// Output:
	// billing has ada@example.com
	// a person reads: billing changed "email", which it does not own
	// billing says again what its owner says
}

// until waits for what happens in the background, for a minute at most.
func until(ok func() bool) {
	for end := time.Now().Add(time.Minute); !ok() && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
}
