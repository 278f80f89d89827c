package outbox_test

import (
	"context"
	"fmt"

	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
)

func Example() {
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
			Name: "accounting",
			Handler: outbox.HandlerFunc(func(_ context.Context, d outbox.Delivery) error {
				fmt.Printf("%s %s, attempt %d\n", d.Topic, d.Payload, d.Attempt)
				done()
				return nil
			}),
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = queue.Tx(ctx, func(ctx context.Context, tx outbox.Tx) error {
		return queue.Enqueue(ctx, tx, outbox.Message{To: "accounting", Topic: "invoice.create", Key: "ada@example.com", Payload: []byte("order 7")})
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := queue.Run(ctx); err != nil {
		fmt.Println(err)
	}
	// Output: invoice.create order 7, attempt 1
}
