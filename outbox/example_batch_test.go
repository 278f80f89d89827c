package outbox_test

import (
	"context"
	"fmt"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
)

// A bulk API takes many orders in one request and answers for each. A batch
// handler gives the queue one result for each message.
func ExampleBatchHandler() {
	alerts, err := alert.New(alert.Config{AllowSilence: true}) // an example has nobody to wake
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, done := context.WithCancel(context.Background())
	queue, err := outbox.New(outbox.Config{
		Store:  memstore.New(),
		Alerts: alerts,
		Destinations: []outbox.Destination{{
			Name:      "warehouse",
			BatchSize: 500,
			Batch: outbox.BatchHandlerFunc(func(_ context.Context, batch []outbox.Delivery) []error {
				defer done()
				results := make([]error, len(batch))
				for i, d := range batch {
					if len(d.Payload) == 0 {
						results[i] = dovetail.NewError(dovetail.Invalid, "upload", "%s is empty", d.ID)
					}
				}
				fmt.Println(len(batch), "in one request")
				return results
			}),
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = queue.Tx(ctx, func(ctx context.Context, tx outbox.Tx) error {
		return queue.Enqueue(ctx, tx,
			outbox.Message{To: "warehouse", ID: "order-1", Key: "ada", Payload: []byte("two lamps")},
			outbox.Message{To: "warehouse", ID: "order-2", Key: "bob"},
			outbox.Message{To: "warehouse", ID: "order-3", Key: "cyd", Payload: []byte("a chair")},
		)
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := queue.Run(ctx); err != nil {
		fmt.Println(err)
	}
	letters, err := queue.DeadLetters(context.Background(), outbox.Filter{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, l := range letters {
		fmt.Println("dead letter:", l.Error)
	}
	// Output:
	// 3 in one request
	// dead letter: upload: order-2 is empty
}
