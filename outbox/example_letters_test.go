package outbox_test

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
)

// The API refused three invoices for their VAT number. A person looks at the
// cause, tries one, sends the rest again at a pace, and later asks who did what.
func ExampleQueue_ReplayAll() {
	alerts, err := alert.New(alert.Config{AllowSilence: true}) // an example has nobody to wake
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	running, stop := context.WithCancel(ctx)
	refused := 0
	queue, err := outbox.New(outbox.Config{
		Store:  memstore.New(),
		Alerts: alerts,
		Destinations: []outbox.Destination{{
			Name:        "accounting",
			Concurrency: 1,
			Handler: outbox.HandlerFunc(func(context.Context, outbox.Delivery) error {
				if refused++; refused == 3 {
					stop()
				}
				return &dovetail.Error{Fault: dovetail.Invalid, Op: "create invoice", Code: "422", Field: "vat"}
			}),
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = queue.Tx(ctx, func(ctx context.Context, tx outbox.Tx) error {
		return queue.Enqueue(ctx, tx,
			outbox.Message{To: "accounting", ID: "invoice-1", Key: "ada", Payload: []byte("{}")},
			outbox.Message{To: "accounting", ID: "invoice-2", Key: "bob", Payload: []byte("{}")},
			outbox.Message{To: "accounting", ID: "invoice-3", Key: "cyd", Payload: []byte("{}")},
		)
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := queue.Run(running); err != nil {
		fmt.Println(err)
		return
	}

	cause := outbox.Filter{Destination: "accounting", Code: "422", Field: "vat"}
	var lines strings.Builder
	n, err := queue.Export(ctx, cause, &lines) // a copy of what is about to be touched
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(n, "exported;", strings.Count(lines.String(), "\n"), "lines")
	one := cause
	one.Limit = 1
	done, err := queue.ReplayAll(ctx, one, outbox.Pace{By: "ana", Why: "does their fix work?"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(done.Messages, "sent again as a try")
	cause.After = done.After
	done, err = queue.ReplayAll(ctx, cause, outbox.Pace{By: "ana", Why: "their fix is out", PerSecond: 1000})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(done.Messages, "more")

	ops, err := queue.Operations(ctx, outbox.OperationFilter{Destination: "accounting"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, op := range ops {
		fmt.Fprintf(os.Stdout, "%s by %s: %s (%d)\n", op.Action, op.Who, op.Why, op.Messages)
	}
	// Output:
	// 3 exported; 3 lines
	// 1 sent again as a try
	// 2 more
	// replay by ana: their fix is out (2)
	// replay by ana: does their fix work? (1)
}
