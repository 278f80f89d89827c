package outbox_test

import (
	"context"
	"fmt"
	"time"

	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
)

// The API allows 20 calls in a second. All relays together keep to it.
func ExampleDestination_rate() {
	alerts, err := alert.New(alert.Config{AllowSilence: true}) // an example has nobody to wake
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, done := context.WithCancel(context.Background())
	began, delivered := time.Now(), 0
	queue, err := outbox.New(outbox.Config{
		Store:  memstore.New(),
		Alerts: alerts,
		Destinations: []outbox.Destination{{
			Name:        "accounting",
			Rate:        20,
			Burst:       1,
			Concurrency: 1,
			Handler: outbox.HandlerFunc(func(context.Context, outbox.Delivery) error {
				if delivered++; delivered == 5 {
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
		for range 5 {
			if err := queue.Enqueue(ctx, tx, outbox.Message{To: "accounting"}); err != nil {
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
	fmt.Println(delivered, "delivered, in 200 ms or more:", time.Since(began) >= 200*time.Millisecond)
	// Output: 5 delivered, in 200 ms or more: true
}
