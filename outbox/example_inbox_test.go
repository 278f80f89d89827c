package outbox_test

import (
	"context"
	"fmt"

	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
)

// A consumer books each message once, however often the queue delivers it: what
// it has seen and what it did commit together.
func ExampleOnce() {
	store := memstore.New() // the consumer's own database
	receive := func(ctx context.Context, d outbox.Delivery) error {
		return store.Transact(ctx, func(ctx context.Context, tx outbox.Tx) error {
			first, err := outbox.Once(ctx, tx, store, "bookkeeping", d.ID)
			if err != nil {
				return err
			}
			if !first {
				fmt.Println(d.ID, "was booked before")
				return nil
			}
			fmt.Println(d.ID, "is booked now") // here, in the same transaction
			return nil
		})
	}
	invoice := outbox.Delivery{Message: outbox.Message{ID: "invoice-7"}}
	for range 2 { // the second as after a crash
		if err := receive(context.Background(), invoice); err != nil {
			fmt.Println(err)
			return
		}
	}
	// Output:
	// invoice-7 is booked now
	// invoice-7 was booked before
}
