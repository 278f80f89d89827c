package outbox_test

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
)

// Nobody knows how many calls at once the warehouse is at ease with, so the relay
// finds out: it begins with one, and takes more while the answers are good.
func ExampleDestination_adaptConcurrency() {
	alerts, err := alert.New(alert.Config{AllowSilence: true}) // an example has nobody to wake
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, done := context.WithCancel(context.Background())
	var delivered atomic.Int32
	queue, err := outbox.New(outbox.Config{
		Store:  memstore.New(),
		Alerts: alerts,
		Destinations: []outbox.Destination{{
			Name:             "warehouse",
			Concurrency:      64,
			AdaptConcurrency: true,
			Handler: outbox.HandlerFunc(func(context.Context, outbox.Delivery) error {
				if delivered.Add(1) == 100 {
					done()
				}
				return nil
			}),
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = queue.Tx(ctx, func(ctx context.Context, tx outbox.Tx) error {
		for range 100 {
			if err := queue.Enqueue(ctx, tx, outbox.Message{To: "warehouse"}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := queue.Run(ctx); err != nil {
		fmt.Println(err)
	}
	fmt.Println(delivered.Load(), "delivered")
	// Output: 100 delivered
}
