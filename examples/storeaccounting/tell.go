package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	_ "modernc.org/sqlite"

	"github.com/tectari/dovetail/examples/storeaccounting/audit"
	"github.com/tectari/dovetail/examples/storeaccounting/connector"
	"github.com/tectari/dovetail/examples/storeaccounting/naive"
	"github.com/tectari/dovetail/examples/storeaccounting/orders"
	"github.com/tectari/dovetail/examples/storeaccounting/story"
	"github.com/tectari/dovetail/examples/storeaccounting/world"
)

// errNotClean: the audit found something.
var errNotClean = errors.New("the audit is not clean")

// The secret that the store signs its webhooks with. The two servers of the
// example are on loopback and gone afterwards; a real one comes from a vault.
const webhookSecret = "whsec_c3RvcmVhY2NvdW50aW5nLWV4YW1wbGUtc2VjcmV0"

// connections is how many the connector has to its database.
const connections = 4

// tell sets the stage, runs a sync until the story is over and all is quiet, and
// has the result audited.
func tell(ctx context.Context, o options, out io.Writer) (err error) {
	list, bad, err := history(o)
	if err != nil {
		return err
	}
	dir, err := hold(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.leave()) }()
	o.dir = dir.path
	if err := parkRows(out, dir, bad); err != nil {
		return err
	}
	if len(list) == 0 {
		return fmt.Errorf("no order to tell: %d rows of the file were set aside, for the reasons above, and there is no other", len(bad))
	}
	w, err := world.Open(ctx, world.Config{Dir: o.dir, Orders: list, Speed: o.speed, Seed: o.seed, Secret: webhookSecret})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	before := w.Stats()
	begun := time.Now()
	res := result{Orders: len(list), Customers: customers(list), Parked: int64(len(bad)), outage: w.Clock().Now() < story.OutageTo}
	if o.naive {
		err = runNaive(ctx, o, w, out)
	} else {
		err = runDovetail(ctx, o, w, out, &res)
	}
	if err != nil {
		return err
	}
	report, err := audit.Run(ctx, audit.Config{StoreURL: w.StoreURL(), AccountingURL: w.AccountingURL()})
	if err != nil {
		return err
	}
	res.finish(before, w.Stats(), report, time.Since(begun))
	if err := conclude(out, o, res, report); err != nil {
		return err
	}
	if !report.Clean() || res.Unfinished > 0 {
		return errNotClean
	}
	return nil
}

func customers(list []orders.Order) int {
	seen := make(map[string]bool)
	for _, o := range list {
		seen[o.CustomerID] = true
	}
	return len(seen)
}

// runNaive runs the other sync until the story is over and it has had its time.
func runNaive(ctx context.Context, o options, w *world.World, out io.Writer) error {
	fmt.Fprintln(out, "The naive sync: post on webhook, find-then-create, three tries, last write wins.")
	s := naive.New(naive.Config{StoreURL: w.StoreURL(), AccountingURL: w.AccountingURL(), Wall: w.Clock().Wall, Start: w.Start})
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	show := newProgress(out, w, nil)
	err := show.until(ctx, done)
	if err == nil {
		show.note("the story is over; the naive sync gets another 5 story minutes")
		err = pause(ctx, w.Clock().Wall(5*time.Minute))
	}
	stop()
	if e := <-done; err == nil {
		err = e
	}
	st := s.Stats()
	if st.Failed > 0 {
		fmt.Fprintf(out, "It gave up on %d calls and told nobody; the last: %s\n", st.Failed, strings.ReplaceAll(st.LastError, "\n", "; "))
	}
	return err
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// runDovetail runs the connector until the story is over and nothing is left to
// do.
func runDovetail(ctx context.Context, o options, w *world.World, out io.Writer, res *result) error {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(o.dir, "dovetail.db")+
		"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate")
	if err != nil {
		return err
	}
	defer db.Close()
	// Each connection has its own prepared statements and pages in memory, so few
	// that stay are better than many that come and go.
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	counter := &connector.Counter{}
	desk := newPerson(w.Clock())
	k, err := connector.New(connector.Config{
		DB: db, StoreURL: w.StoreURL(), AccountingURL: w.AccountingURL(), WebhookSecret: webhookSecret,
		Speed: o.speed, Person: desk, Observer: counter,
	})
	if err != nil {
		return err
	}
	if err := k.Migrate(ctx); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: k.Webhooks, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends with Close below
	defer server.Close()

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	show := newProgress(out, w, k)
	show.desk, show.verbose = desk, o.verbose
	err = w.Start("http://" + listener.Addr().String())
	if err == nil {
		err = show.until(ctx, done)
	}
	if err == nil {
		end := finish{world: w, sync: k, show: show, done: done}
		res.Unfinished, err = end.settle(ctx)
	}
	stop()
	if e := <-done; err == nil {
		err = e
	}
	res.count(counter, desk)
	show.alerts()
	return err
}
