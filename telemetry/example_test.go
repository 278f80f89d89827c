package telemetry_test

import (
	"context"
	"fmt"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/telemetry"
)

// The zero Config uses the providers that the program set with otel.
func Example() {
	observer, err := telemetry.New(telemetry.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	e := dovetail.Event{Name: "outbox.delivery", Destination: "billing", Message: "invoice-1"}
	ctx := observer.Start(context.Background(), e)
	e.Outcome = "delivered"
	observer.Record(ctx, e)
	fmt.Println(e.Outcome)
	// Output: delivered
}

// Pass the observer to every Config that takes one.
func ExampleNew() {
	observer, err := telemetry.New(telemetry.Config{WithKeys: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = alert.New(alert.Config{AllowSilence: true, Observer: observer})
	fmt.Println(err)
	// Output: <nil>
}
