package dovetail_test

import (
	"context"
	"fmt"
	"time"

	"github.com/tectari/dovetail"
)

func Example() {
	err := fmt.Errorf("push: %w", &dovetail.Error{
		Fault: dovetail.RateLimited,
		Op:    "create invoice",
		Ref:   dovetail.Ref{System: "accounting", ID: "1042"},
		Code:  "429",
		After: 20 * time.Second,
	})
	wait, _ := dovetail.RetryAfter(err)
	fmt.Println(err)
	fmt.Println(dovetail.Classify(err), dovetail.Classify(err).Retryable(), wait)
	// Output:
	// push: create invoice accounting:1042: 429
	// rate-limited true 20s
}

func ExampleDecimal() {
	a, _ := dovetail.Decimal("12.50")
	b, _ := dovetail.Decimal("12.5")
	cents, _ := a.Scaled(2)
	fmt.Println(a == b, cents)
	fmt.Println(a, "prints its kind only:", a.Text())
	_, err := dovetail.Decimal("12,50")
	fmt.Println(err)
	// Output:
	// true 1250
	// decimal prints its kind only: 12.5
	// dovetail: not a decimal number: 5 bytes
}

func ExampleParseValue() {
	v, err := dovetail.ParseValue(dovetail.Int(42).Encode())
	n, ok := v.Int()
	fmt.Println(n, ok, err)
	// Output: 42 true <nil>
}

func ExampleNewError() {
	err := dovetail.NewError(dovetail.Invalid, "create customer", "the e-mail address has no @")
	fmt.Println(dovetail.Classify(err), "-", err)
	// Output: invalid - create customer: the e-mail address has no @
}

func ExampleFaults() {
	fs := dovetail.Faults{Package: "sync"}
	fs.Add("OWN001", `Config.Fields["phone"]`, "customer.phone has no owner", `write "phone": ownership.By("crm")`)
	fs.Add("", "Config.Alerts", "required", "")
	fmt.Println(fs.Err())
	// Output:
	// sync: 2 faults:
	// 	OWN001 Config.Fields["phone"]: customer.phone has no owner; write "phone": ownership.By("crm")
	// 	Config.Alerts: required
}

// printer is an Observer that prints what failed.
type printer struct{}

func (printer) Start(ctx context.Context, _ dovetail.Event) context.Context { return ctx }

func (printer) Record(_ context.Context, e dovetail.Event) {
	if e.Err != nil {
		fmt.Println(e.Name, e.Outcome, e.Err)
	}
}

func ExampleObserverOr() {
	o := dovetail.ObserverOr(printer{})
	o.Record(context.Background(), dovetail.Event{Name: "outbox.delivery", Outcome: "retry", Err: context.DeadlineExceeded})
	// Output: outbox.delivery retry context deadline exceeded
}
