package alert_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
)

// A person is told once that a system is down, and once that it is back.
func Example() {
	told := make(chan alert.Notification)
	pager := alert.SinkFunc("pager", func(_ context.Context, n alert.Notification) error {
		told <- n
		return nil
	})
	manager, err := alert.New(alert.Config{
		Routes: []alert.Route{{To: []alert.Sink{pager}, Wait: -1}},
		Settle: -1,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- manager.Run(ctx) }()

	down := alert.Problem{Rule: alert.Down, System: "billing", Class: dovetail.Unavailable, Why: "connection refused", Waiting: 312}
	for range 1000 {
		if err := manager.Report(ctx, down); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println((<-told).Summary())
	if err := manager.Clear(ctx, down, "caught up"); err != nil {
		fmt.Println(err)
	}
	n := <-told
	fmt.Println(n.Summary(), "after", n.Count, "failures:", n.Note)

	cancel()
	fmt.Println(<-done)
	// Output:
	// CRITICAL: billing: system is down
	// RESOLVED: billing: system is down after 1000 failures: caught up
	// <nil>
}

// A configuration that would wake nobody is refused, and says what to write.
func ExampleNew() {
	_, err := alert.New(alert.Config{
		Routes: []alert.Route{
			{Rules: alert.Rules()[1:], To: []alert.Sink{pager{}}},
			{To: []alert.Sink{alert.Log(nil)}},
		},
	})
	fmt.Println(err)
	// Output: alert: ALERT009 Config.Routes: a critical problem would reach nobody for stuck, rules of the program's own; add a route without Rules to a sink that a person sees (a log is not one), or set AllowSilence
}

// pager is a sink.
type pager struct{}

func (pager) Name() string { return "pager" }

func (pager) Send(context.Context, alert.Notification) error { return nil }

// A webhook posts JSON, signed.
func ExampleWebhook() {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Header.Get("Content-Type"), r.Header.Get("Dovetail-Signature") != "")
	}))
	defer server.Close()
	sink, err := alert.Webhook(alert.WebhookConfig{URL: server.URL, Secret: "from a secret store"})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = sink.Send(context.Background(), alert.Notification{ID: "1", State: alert.Trial, First: time.Now()})
	fmt.Println(err)
	// Output:
	// application/json true
	// <nil>
}
