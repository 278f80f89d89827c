package idempotency_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/idempotency"
	"github.com/tectari/dovetail/store/memstore"
)

// The reply to the first attempt is lost after the invoice was made. The second
// one finds out, and there is one invoice.
func Example() {
	accounting := dovetailtest.NewTarget[invoice](dovetailtest.TargetConfig{KeyWindow: keyWindow})
	accounting.Fail(dovetailtest.TargetLosesReply)
	invoices, err := idempotency.NewUpserter(idempotency.Config[invoice]{
		Store:  memstore.New(),
		Target: idempotency.Target[invoice]{Create: accounting.Create, KeyWindow: keyWindow, Update: accounting.Update},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, key := context.Background(), idempotency.Key{Scope: "acme/store>accounting/invoice", ID: "4711"}
	for range 3 {
		res, err := invoices.Upsert(ctx, key, 1, invoice{Number: "R-1", Cents: 1999})
		fmt.Println(res.Outcome, errors.Is(err, idempotency.ErrInDoubt))
	}
	fmt.Println(len(accounting.Of(key)), "invoice")
	// Output:
	// none true
	// replayed false
	// unchanged false
	// 1 invoice
}

// An API that has nothing to find out with needs a choice, or it is refused.
func ExampleNewUpserter() {
	fax := func(context.Context, idempotency.Key, string) (idempotency.Ref, error) {
		return idempotency.Ref{ID: "1"}, nil
	}
	_, err := idempotency.NewUpserter(idempotency.Config[string]{Store: memstore.New(), Target: idempotency.Target[string]{Create: fax}})
	fmt.Println(err)
	// Output:
	// idempotency: IDM006 Config.OnDoubt: required: after a lost reply this API leaves no way to find out whether the record was made; idempotency.Park (a person looks), or idempotency.MayRepeat (there may be two); better, give the Target Find
}

// A mail whose fate is unknown is not sent again until a person has looked.
func ExampleDo() {
	ctx, ledger := context.Background(), memstore.New()
	key := idempotency.Key{Scope: "acme/mail", ID: "order-4711", Op: "confirmation"}
	mail := errors.New("connection reset")
	send := func() {
		_, outcome, err := idempotency.Do(ctx, ledger, key, "Thank you", func(context.Context, idempotency.Claim) (string, error) {
			fmt.Println("sending")
			return "sent", mail
		})
		fmt.Println(outcome, dovetail.Classify(err))
	}
	send()
	send()
	fmt.Println(idempotency.Resolve(ctx, ledger, key, idempotency.DidNotHappen(), "ann"))
	mail = nil
	send()
	send()
	// Output:
	// sending
	// none in-doubt
	// none in-doubt
	// <nil>
	// sending
	// created unclassified
	// replayed unclassified
}
