package outbox_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
)

// The message is part of the caller's own transaction: what is rolled back is
// never delivered. With sqlstore the transaction is a *sql.Tx.
func ExampleQueue_Enqueue() {
	alerts, err := alert.New(alert.Config{AllowSilence: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	store := memstore.New()
	queue, err := outbox.New(outbox.Config{Store: store, Alerts: alerts, Destinations: []outbox.Destination{{Name: "accounting"}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	place := func(order string, pay error) error {
		tx, err := store.Begin(ctx)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		// The order itself would be written here, in the same transaction.
		err = queue.Enqueue(ctx, tx, outbox.Message{ID: "invoice-" + order, To: "accounting", Payload: []byte(order)})
		if err := errors.Join(err, pay); err != nil {
			return err
		}
		return tx.Commit()
	}
	fmt.Println(place("7", nil))
	fmt.Println(place("8", errors.New("card declined")))
	lags, err := queue.Lag(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(lags[0].Destination, "has", lags[0].Waiting, "waiting")
	// Output:
	// <nil>
	// card declined
	// accounting has 1 waiting
}
