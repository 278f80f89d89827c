package memstore_test

import (
	"context"
	"fmt"

	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/store/memstore"
)

// Two managers of one store see the same problems, as two processes of one
// database would.
func Example_alert() {
	ctx, store := context.Background(), memstore.New()
	first, err := alert.New(alert.Config{Store: store, AllowSilence: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	second, err := alert.New(alert.Config{Store: store, AllowSilence: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := first.Report(ctx, alert.Problem{Rule: alert.Down, System: "billing"}); err != nil {
		fmt.Println(err)
	}
	open, err := second.Open(ctx)
	fmt.Println(len(open), open[0].Summary(), err)
	// Output: 1 CRITICAL: billing: system is down <nil>
}
