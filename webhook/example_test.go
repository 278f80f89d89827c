package webhook_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
	"github.com/tectari/dovetail/webhook"
)

// A store sends each webhook twice. One message is stored, and both deliveries are
// answered as taken in.
func Example() {
	alerts, err := alert.New(alert.Config{AllowSilence: true}) // an example has nobody to wake
	if err != nil {
		fmt.Println(err)
		return
	}
	queue, err := outbox.New(outbox.Config{
		Store: memstore.New(), Alerts: alerts,
		Destinations: []outbox.Destination{{Name: "orders", Handler: outbox.HandlerFunc(handle)}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" // from the environment, in earnest
	hook, err := webhook.NewReceiver(webhook.Config{
		Source: "store", Verifier: webhook.Standard(secret), Queue: queue, Destination: "orders",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	const body = `{"order": 4711}`
	for range 2 {
		req := httptest.NewRequest(http.MethodPost, "/hooks/store", strings.NewReader(body))
		req.Header = webhook.SignStandard(secret, "msg_1", time.Now(), []byte(body))
		w := httptest.NewRecorder()
		hook.ServeHTTP(w, req)
		fmt.Println(w.Code)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	fmt.Println(queue.Run(ctx))
	// Output:
	// 200
	// 200
	// handle {"order": 4711}
	// <nil>
}

func handle(_ context.Context, d outbox.Delivery) error {
	fmt.Printf("handle %s\n", d.Payload)
	return nil
}

// Secrets that are missing are found when the program starts.
func ExampleNewReceiver() {
	_, err := webhook.NewReceiver(webhook.Config{Source: "github", Verifier: webhook.GitHub("")})
	fmt.Println(err)
	// Output:
	// webhook: 3 faults:
	// 	WHK102 GitHub, secret 1: empty, or not in the sender's format: anybody could sign; is the environment variable set?
	// 	WHK004 Config.Queue: required: what is not stored is lost; outbox.New(outbox.Config{…})
	// 	WHK005 Config.Destination: required; the name of the queue's destination that handles these webhooks
}
