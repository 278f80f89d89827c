package outbox_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
)

// Large payloads are stored compressed; the handler has them as they were.
func ExampleConfig_compressAbove() {
	alerts, err := alert.New(alert.Config{AllowSilence: true}) // an example has nobody to wake
	if err != nil {
		fmt.Println(err)
		return
	}
	store := memstore.New()
	ctx, done := context.WithCancel(context.Background())
	queue, err := outbox.New(outbox.Config{
		Store:         store,
		Alerts:        alerts,
		CompressAbove: 4096,
		Destinations: []outbox.Destination{{
			Name: "catalogue",
			Handler: outbox.HandlerFunc(func(_ context.Context, d outbox.Delivery) error {
				fmt.Println(len(d.Payload), "bytes delivered")
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
		return queue.Enqueue(ctx, tx, outbox.Message{To: "catalogue", Payload: []byte(strings.Repeat("two lamps ", 10_000))})
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	page, err := store.ReadMessages(ctx, outbox.ReadQuery{Wants: []outbox.Want{{Destination: "catalogue", Shards: ^uint64(0)}}, Limit: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("less than 2,000 bytes stored:", len(page.Entries[0].Payload) < 2000)
	if err := queue.Run(ctx); err != nil {
		fmt.Println(err)
	}
	// Output:
	// less than 2,000 bytes stored: true
	// 100000 bytes delivered
}
