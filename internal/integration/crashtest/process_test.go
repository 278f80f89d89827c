package crashtest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/conflict"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/ownership"
	"github.com/tectari/dovetail/store/sqlstore"
	datasync "github.com/tectari/dovetail/sync"
	"modernc.org/sqlite"
)

const (
	shop  = dovetail.System("shop")
	books = dovetail.System("books")
)

// Short waits: what is tested is that recovery comes, not how long a person
// would configure it to take.
const (
	lease       = 500 * time.Millisecond
	pollEvery   = 300 * time.Millisecond
	requestLife = 300 * time.Millisecond
	findLag     = 200 * time.Millisecond
)

// places says where a process finds the systems.
type places struct {
	shop, books *http.Client
	shopURL     string
	booksURL    string
}

// quiet drops events: a run that dies is full of failures that are no news.
type quiet struct{}

func (quiet) Start(ctx context.Context, _ dovetail.Event) context.Context { return ctx }
func (quiet) Record(context.Context, dovetail.Event)                      {}

func dsnOf(path string) string {
	return "file:" + path + "?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)&_txlock=immediate"
}

func openConnector(path string) (driver.Connector, error) { return sqlite.NewConnector(dsnOf(path)) }

// program is the program under test: two links over one queue.
type program struct {
	customers, invoices *datasync.Link
	queue               *outbox.Queue
}

// newProgram wires the program, as its main function would.
func newProgram(db *sql.DB, at places) (*program, error) {
	store := sqlstore.New(db, sqlstore.SQLite)
	person := alert.SinkFunc("person", func(context.Context, alert.Notification) error { return nil })
	alerts, err := alert.New(alert.Config{Routes: []alert.Route{{To: []alert.Sink{person}}}, Observer: quiet{}})
	if err != nil {
		return nil, err
	}
	queue, err := outbox.New(outbox.Config{Store: store, Alerts: alerts, Observer: quiet{}, Lease: lease, PollMin: 10 * time.Millisecond, PollMax: 250 * time.Millisecond})
	if err != nil {
		return nil, err
	}
	p := &program{queue: queue}
	backoff := outbox.Backoff{Base: 20 * time.Millisecond, Cap: 100 * time.Millisecond}
	p.customers, err = datasync.New(datasync.Config[customer]{
		Name: "customers",
		Systems: []datasync.System[customer]{{
			Name: shop, Endpoint: source[customer]{client: at.shop, base: at.shopURL, system: shop, path: "customers"},
			Can:  datasync.Capabilities{ConditionalWrite: true},
			Poll: pollEvery, Backoff: backoff, ProbeEvery: pollEvery, Timeout: time.Second,
		}, {
			Name: books, Endpoint: searched[customer]{keyed[customer]{source[customer]{client: at.books, base: at.booksURL, system: books, path: "customers"}}},
			Can:  datasync.Capabilities{ConditionalWrite: true, FindLag: findLag, RequestLife: requestLife},
			Poll: pollEvery, Backoff: backoff, ProbeEvery: pollEvery, Timeout: time.Second,
		}},
		Fields: ownership.Rules{
			"name": ownership.By(shop), "email": ownership.By(shop),
			"tax": ownership.By(books), "phone": ownership.Shared(shop, books),
		},
		Resolvers: conflict.Fields{"phone": conflict.Prefer(shop)},
		Exists:    ownership.By(shop),
		Match:     []string{"email"},
		Lease:     lease,
		Store:     store, Queue: queue, Alerts: alerts, Observer: quiet{},
	})
	if err != nil {
		return nil, err
	}
	p.invoices, err = datasync.New(datasync.Config[invoice]{
		Name: "invoices",
		Systems: []datasync.System[invoice]{{
			Name: shop, Endpoint: source[invoice]{client: at.shop, base: at.shopURL, system: shop, path: "orders"},
			Can:  datasync.Capabilities{ConditionalWrite: true},
			Poll: pollEvery, Backoff: backoff, ProbeEvery: pollEvery, Timeout: time.Second,
		}, {
			Name: books, Endpoint: keyed[invoice]{source[invoice]{client: at.books, base: at.booksURL, system: books, path: "invoices"}},
			Can:  datasync.Capabilities{ConditionalWrite: true, KeyWindow: 24 * time.Hour, RequestLife: requestLife},
			Poll: pollEvery, Backoff: backoff, ProbeEvery: pollEvery, Timeout: time.Second,
		}},
		Fields: ownership.Rules{
			"number": ownership.By(shop), "customer": ownership.By(shop), "total": ownership.By(shop),
		},
		Exists:     ownership.By(shop),
		References: map[string]*datasync.Link{"customer": p.customers},
		Lease:      lease,
		Store:      store, Queue: queue, Alerts: alerts, Observer: quiet{},
	})
	return p, err
}

// run keeps the systems in agreement until ctx is done.
func (p *program) run(ctx context.Context) error {
	err := datasync.Run(ctx, p.customers, p.invoices)
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// migrate makes the tables of a new database.
func migrate(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite", dsnOf(path))
	if err != nil {
		return err
	}
	store := sqlstore.New(db, sqlstore.SQLite)
	err = store.Migrate(ctx)
	if _, e := db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)"); err == nil {
		err = e
	}
	if e := db.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	return nil
}
