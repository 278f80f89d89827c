package retry_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/retry"
)

// The limits are those that the API documents.
func ExampleNewClient() {
	busy := dovetailtest.On(dovetailtest.Answer(http.StatusBadGateway, ""), 1) // the first request fails
	client, err := retry.NewClient(retry.Config{
		System:            "billing",
		Quotas:            []retry.Quota{retry.Window{Limit: 60, Per: time.Minute}, retry.Concurrency{Max: 5}},
		Backoff:           retry.Backoff{Base: time.Millisecond},
		IdempotencyHeader: "Idempotency-Key",
		Observer:          quiet{},
		Base: dovetailtest.Faulty(dovetailtest.Transport(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"total": 12}`)
		})), busy),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "https://billing.example.com/invoices/7", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	invoice, err := retry.JSON[struct{ Total int }](client, req)
	fmt.Println(invoice.Total, err)
	// Output: 12 <nil>
}

// A Transport fits under the client of any SDK.
func ExampleNewTransport() {
	transport, err := retry.NewTransport(retry.Config{
		System: "billing",
		Base:   dovetailtest.Faulty(nil, dovetailtest.Answer(http.StatusUnprocessableEntity, "")),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: transport}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "https://billing.example.com/invoices?token=secret", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = retry.Do(client, req)
	fmt.Println(err)
	fmt.Println(dovetail.Classify(err))
	// Output:
	// billing: POST https://billing.example.com/invoices: 422 Unprocessable Entity
	// invalid
}

type quiet struct{}

func (quiet) Start(ctx context.Context, _ dovetail.Event) context.Context { return ctx }
func (quiet) Record(context.Context, dovetail.Event)                      {}
