// Storeaccounting is the main job of Dovetail in one command: an online store and
// an accounting system, each a real HTTP server with its own database, are kept
// in agreement through webhooks that fire twice, a 20-minute outage, lost
// replies, rate limits and people who edit both sides. At the end an auditor that
// shares no code with the sync compares the two, record by record.
//
//	go run ./examples/storeaccounting
//	go run ./examples/storeaccounting -naive   # the sync that everyone writes first
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/tectari/dovetail/examples/storeaccounting/orders"
	"github.com/tectari/dovetail/examples/storeaccounting/story"
)

// options are the flags.
type options struct {
	dir     string
	orders  string
	speed   float64
	seed    uint64
	naive   bool
	verbose bool
	json    bool
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("storeaccounting", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.dir, "dir", "", "keep the state of all parties in `DIR`; the same directory again goes on where it was (default: a temporary one)")
	f.StringVar(&o.orders, "orders", "", "read the order history from this CSV `FILE` (default: the embedded sample)")
	f.Float64Var(&o.speed, "speed", story.DefaultSpeed, "story seconds per second")
	f.Uint64Var(&o.seed, "seed", 1, "decides people and faults")
	f.BoolVar(&o.naive, "naive", false, "run the sync that everyone writes first, instead of Dovetail")
	f.BoolVar(&o.verbose, "v", false, "print every decision and every alert in full")
	f.BoolVar(&o.json, "json", false, "print the result as one JSON object on the last line")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("unknown argument %q", f.Arg(0))
	case !(o.speed >= 1 && o.speed <= 600): // NaN is neither
		return o, fmt.Errorf("-speed %g: say a number from 1 to 600", o.speed)
	}
	return o, nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run tells the story and returns the exit code: 0 only if nothing was lost,
// doubled or in disagreement.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err == nil {
		err = tell(ctx, o, stdout)
	}
	switch {
	case errors.Is(err, errNotClean):
		return 1
	case err != nil:
		fmt.Fprintf(stderr, "storeaccounting: %v\n", explain(err, o))
		return 2
	}
	return 0
}

// history reads the orders and says which rows are bad.
func history(o options) ([]orders.Order, []orders.BadRow, error) {
	if o.orders == "" {
		return orders.Sample()
	}
	f, err := os.Open(o.orders)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	list, bad, err := orders.Read(f)
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", o.orders, err)
	}
	return list, bad, nil
}
