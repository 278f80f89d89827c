// Package connector joins the store and the accounting system. It is what a
// developer would write: two record types, the rules of who owns what, one
// endpoint per system and type, and the parts of Dovetail put together.
package connector

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/conflict"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/ownership"
	"github.com/tectari/dovetail/retry"
	"github.com/tectari/dovetail/store/sqlstore"
	datasync "github.com/tectari/dovetail/sync"
	"github.com/tectari/dovetail/webhook"
)

// Config is what the connector needs to know.
type Config struct {
	// DB is the connector's own database, open on SQLite. Required.
	DB *sql.DB
	// StoreURL and AccountingURL are the two APIs. Required.
	StoreURL, AccountingURL string
	// WebhookSecret is what the store signs with. Required.
	WebhookSecret string
	// Speed is how many story seconds pass in one wall second. The limits that the
	// two systems publish are in story time. Required.
	Speed float64
	// Person is told of problems. Required.
	Person alert.Sink
	// Observer counts what happens. Required.
	Observer dovetail.Observer
}

// story turns a duration of the story into one of the wall clock.
func (c Config) story(d time.Duration) time.Duration {
	return time.Duration(float64(d) / c.Speed)
}

// A Connector keeps the two systems in agreement while Run runs.
type Connector struct {
	Customers, Invoices *datasync.Link
	Queue               *outbox.Queue
	Webhooks            http.Handler
	alerts              *alert.Manager
	store               *sqlstore.Store
}

// New puts the connector together.
func New(c Config) (*Connector, error) {
	store := sqlstore.New(c.DB, sqlstore.SQLite)
	alerts, err := alert.New(alert.Config{
		Store:  store,
		Routes: []alert.Route{{To: []alert.Sink{c.Person}, Wait: c.story(30 * time.Second), Repeat: time.Hour}},
		Settle: c.story(time.Minute), Observer: c.Observer,
	})
	if err != nil {
		return nil, err
	}
	queue, err := outbox.New(outbox.Config{Store: store, Alerts: alerts, Observer: c.Observer, Lease: time.Second})
	if err != nil {
		return nil, err
	}
	shop, books, err := clients(c)
	if err != nil {
		return nil, err
	}
	k := &Connector{Queue: queue, alerts: alerts, store: store}
	if err := k.links(c, shop, books); err != nil {
		return nil, err
	}
	return k, k.webhooks(c)
}

// clients makes one HTTP client per API, with the limits it publishes.
func clients(c Config) (shop, books api, err error) {
	shopClient, err := retry.NewClient(retry.Config{System: "store", Observer: c.Observer})
	if err != nil {
		return shop, books, err
	}
	bookClient, err := retry.NewClient(retry.Config{
		System: "accounting", Observer: c.Observer,
		Quotas: []retry.Quota{
			retry.Window{Limit: 500, Per: c.story(time.Minute)},
			retry.Concurrency{Max: 5},
		},
		IdempotencyHeader: "Idempotency-Key",
		MaxInlineWait:     2 * time.Second,
		// The defaults, in story time: else the breaker stays shut for half an hour of
		// the story after accounting is up again.
		Breaker: retry.Breaker{Open: c.story(time.Second), OpenCap: c.story(30 * time.Second)},
	})
	return api{system: "store", base: c.StoreURL, client: shopClient}, api{system: "accounting", base: c.AccountingURL, client: bookClient}, err
}

// links states the rules.
func (k *Connector) links(c Config, shop, books api) (err error) {
	k.Customers, err = datasync.New(datasync.Config[Customer]{
		Name: "customers",
		Systems: []datasync.System[Customer]{
			system(c, "store", storeCustomers{shop}, datasync.Capabilities{ConditionalWrite: true}),
			system(c, "accounting", contacts{books}, datasync.Capabilities{ConditionalWrite: true, FindLag: c.story(35 * time.Second), RequestLife: c.story(time.Minute)}),
		},
		Fields: ownership.Rules{
			"number":        ownership.By("store"),
			"name":          ownership.By("store"),
			"email":         ownership.By("store"),
			"address":       ownership.By("store"),
			"phone":         ownership.Shared("store", "accounting"),
			"tax_number":    ownership.By("accounting"),
			"payment_terms": ownership.By("accounting"),
			"balance":       ownership.By("accounting"),
		},
		// Both systems keep their clocks to the second; inside two, nobody was first.
		Resolvers: conflict.Fields{"phone": conflict.Latest(2*time.Second, conflict.Prefer("store", "accounting"))},
		Exists:    ownership.By("store"),
		Match:     []string{"number"}, // a contact that is there already is linked, not made twice
		Store:     k.store, Queue: k.Queue, Alerts: k.alerts, Observer: c.Observer, Lease: time.Second,
	})
	if err != nil {
		return err
	}
	// An idempotency key lives 10 minutes there, shorter than an outage. After that a
	// doubt is settled by the search, which lags.
	accounting := system(c, "accounting", invoices{books}, datasync.Capabilities{KeyWindow: c.story(10 * time.Minute), FindLag: c.story(35 * time.Second), RequestLife: c.story(time.Minute)})
	// It has no feed of changed invoices, only a list of all of them, and nothing of
	// an invoice is owned there.
	accounting.Poll = c.story(30 * time.Minute)
	k.Invoices, err = datasync.New(datasync.Config[Invoice]{
		Name: "invoices",
		Systems: []datasync.System[Invoice]{
			system(c, "store", storeOrders{shop}, datasync.Capabilities{}),
			accounting,
		},
		Fields: ownership.Rules{
			"number":   ownership.By("store"),
			"customer": ownership.By("store"),
			"date":     ownership.By("store"),
			"total":    ownership.By("store"),
		},
		Exists:     ownership.By("store"),
		References: map[string]*datasync.Link{"customer": k.Customers},
		Store:      k.store, Queue: k.Queue, Alerts: k.alerts, Observer: c.Observer, Lease: time.Second,
	})
	return err
}

// atOnce is how many records are worked on at once per system, more than the calls
// that an API lets in: a delivery is mostly commits, and those that come together
// share one.
const atOnce = 16

// system is one party, with its times in story time.
func system[T any](c Config, name dovetail.System, e datasync.Endpoint[T], can datasync.Capabilities) datasync.System[T] {
	return datasync.System[T]{
		Name: name, Endpoint: e, Can: can,
		Poll: c.story(2 * time.Minute), Concurrency: atOnce, Attempts: 100,
		Backoff:    outbox.Backoff{Base: c.story(10 * time.Second), Cap: c.story(5 * time.Minute)},
		StuckAfter: c.story(10 * time.Minute), ProbeEvery: c.story(30 * time.Second),
	}
}

// webhooks receives what the store sends. The receiver stores a delivery before
// it answers; the inbox reads it and hints at the record it is about.
func (k *Connector) webhooks(c Config) error {
	err := k.Queue.Add(outbox.Destination{
		Name: "webhooks", System: "store", Order: outbox.Unordered, Concurrency: atOnce,
		Handler: outbox.HandlerFunc(k.takeWebhook),
	})
	if err != nil {
		return err
	}
	k.Webhooks, err = webhook.NewReceiver(webhook.Config{Source: "store", Verifier: webhook.Standard(c.WebhookSecret), Queue: k.Queue, Destination: "webhooks", Observer: c.Observer})
	return err
}

// takeWebhook trusts nothing of an event but which record it is about.
func (k *Connector) takeWebhook(ctx context.Context, d outbox.Delivery) error {
	var event struct {
		Type    string `json:"type"`
		ID      string `json:"id"`
		Version int64  `json:"version"`
	}
	if err := json.Unmarshal(d.Payload, &event); err != nil {
		return dovetail.NewError(dovetail.Invalid, "read webhook", "%w", err)
	}
	link := k.Customers
	switch event.Type {
	case "customer.created", "customer.updated":
	case "order.created", "order.updated":
		link = k.Invoices
	default:
		return dovetail.NewError(dovetail.Invalid, "read webhook", "unknown type %q", event.Type)
	}
	return link.Hint(ctx, "store", event.ID, fmt.Sprint(event.Version))
}

// Migrate makes the connector's tables and checks its database.
func (k *Connector) Migrate(ctx context.Context) error {
	if err := k.store.Migrate(ctx); err != nil {
		return err
	}
	return k.store.Verify(ctx)
}

// Run runs everything until ctx is done.
func (k *Connector) Run(ctx context.Context) error {
	return datasync.Run(ctx, k.Customers, k.Invoices)
}

// Unfinished counts what is left to do: the messages that wait, or, where none
// does, the records that some system lags behind in. Counting those is slow.
func (k *Connector) Unfinished(ctx context.Context) (int64, error) {
	var n int64
	lags, err := k.Queue.Lag(ctx)
	for _, l := range lags {
		n += l.Waiting + l.Parked
	}
	if err != nil || n > 0 {
		return n, err
	}
	for _, link := range []*datasync.Link{k.Customers, k.Invoices} {
		counts, err := link.Counts(ctx)
		if err != nil {
			return 0, err
		}
		n += counts.Outstanding
	}
	return n, nil
}

// Alarmed reports whether a system counts as down, or work as stuck.
func (k *Connector) Alarmed(ctx context.Context) (bool, error) {
	open, err := k.alerts.Open(ctx)
	return slices.ContainsFunc(open, Alarming), err
}

// Alarming reports whether a notification is of a problem that ends by itself
// once the system answers and the work is done.
func Alarming(n alert.Notification) bool {
	return n.Problem.Rule == alert.Down || n.Problem.Rule == alert.Auth || n.Problem.Rule == alert.Stuck
}

// Poll reads what changed in every system now, not when it is due.
func (k *Connector) Poll(ctx context.Context) error {
	for _, link := range []*datasync.Link{k.Customers, k.Invoices} {
		for _, name := range []dovetail.System{"store", "accounting"} {
			if link == k.Invoices && name == "accounting" {
				continue // nothing of an invoice is taken from there
			}
			if err := link.Poll(ctx, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// Left prints what is not finished, and why.
func (k *Connector) Left(ctx context.Context, out io.Writer) error {
	lags, err := k.Queue.Lag(ctx)
	if err != nil {
		return err
	}
	for _, l := range lags {
		if l.Waiting+l.Parked+l.Dead+l.InDoubt > 0 {
			fmt.Fprintf(out, "  %s: %d waiting, %d parked, %d dead, %d in doubt\n", l.Destination, l.Waiting, l.Parked, l.Dead, l.InDoubt)
		}
	}
	for _, link := range []*datasync.Link{k.Customers, k.Invoices} {
		for w, err := range link.Plan(ctx) {
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "  %s/%s: %s in %s\n", w.Link, w.Key, w.Action, w.Target.System)
		}
	}
	return nil
}
