package outboxtest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/internal/integration/servers"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/sqlstore"
)

// A kind is a kind of database.
type kind string

const (
	postgres kind = "Postgres"
	mariadb  kind = "MariaDB"
	sqlite   kind = "SQLite"
)

// An env is what a scenario runs in: an empty database, producers, relays, faults,
// and the record of what was committed and what was delivered.
type env struct {
	testing.TB
	kind    kind
	dsn     string
	tap     *tap
	store   *sqlstore.Store
	keeper  outbox.Store // what queues are given: store, unless a mutant is tried
	*record              // what was committed and delivered
	events  *events
	alerts  *alert.Manager

	// lease is that of relays; long, unless the scenario is about losing it.
	lease time.Duration
	// patience is how long a scenario waits for what must happen.
	patience time.Duration

	destinations []outbox.Destination
	q            *outbox.Queue // a producer's
	relays       []*relay

	scriptMu sync.Mutex
	scripts  map[string]script

	pipe  atomic.Pointer[pipe]
	procs []*child
}

// A script is what a destination answers.
type script func(ctx context.Context, d outbox.Delivery) error

// place makes an empty database of a kind and returns how to connect to it.
func place(t testing.TB, k kind) string {
	t.Helper()
	switch k {
	case postgres:
		return servers.Postgres(t)
	case mariadb:
		return servers.MariaDBDatabase(t).FormatDSN()
	default:
		return filepath.Join(t.TempDir(), "queue.db")
	}
}

// newEnv makes an env in a database of its own.
func newEnv(t testing.TB, k kind) *env {
	t.Helper()
	return newEnvAt(t, k, place(t, k))
}

// newEnvAt makes an env in the database that a dsn leads to.
func newEnvAt(t testing.TB, k kind, dsn string) *env {
	t.Helper()
	e := &env{
		TB: t, kind: k, dsn: dsn, tap: &tap{}, record: newRecord(), events: &events{},
		lease: leaseEnough, patience: time.Minute, scripts: map[string]script{},
	}
	e.store = e.open(dsn, e.tap)
	e.keeper = e.store
	require.NoError(t, e.store.Migrate(t.Context()))
	var err error
	e.alerts, err = alert.New(alert.Config{AllowSilence: true})
	require.NoError(t, err)
	t.Cleanup(e.end)
	return e
}

// open opens a store through a tap.
func (e *env) open(dsn string, through *tap) *sqlstore.Store {
	e.Helper()
	db, dialect, err := connect(e.kind, dsn, through)
	require.NoError(e, err)
	e.Cleanup(func() { _ = db.Close() }) // a fault may have left it in any state
	return sqlstore.New(db, dialect)
}

// connect opens a pool, with a tap if there is one.
func connect(k kind, dsn string, t *tap) (*sql.DB, sqlstore.Dialect, error) {
	var c driver.Connector
	var d sqlstore.Dialect
	switch k {
	case postgres:
		config, err := pgx.ParseConfig(dsn)
		if err != nil {
			return nil, d, err
		}
		c, d = stdlib.GetConnector(*config), sqlstore.Postgres
	case mariadb:
		config, err := mysql.ParseDSN(dsn)
		if err != nil {
			return nil, d, err
		}
		connector, err := mysql.NewConnector(config)
		if err != nil {
			return nil, d, err
		}
		c, d = connector, sqlstore.MySQL
	default:
		db, err := sql.Open("sqlite", "")
		if err != nil {
			return nil, d, err
		}
		c, d = named{db.Driver(), "file:" + dsn + pragmas}, sqlstore.SQLite
		_ = db.Close() // it was only asked for its driver
	}
	if t != nil {
		c = &tapConnector{t, c}
	}
	db := sql.OpenDB(c)
	db.SetMaxIdleConns(4)
	db.SetConnMaxIdleTime(time.Second)
	return db, d, nil
}

// named connects to where a driver finds a name.
type named struct {
	driver driver.Driver
	name   string
}

func (n named) Connect(context.Context) (driver.Conn, error) { return n.driver.Open(n.name) }
func (n named) Driver() driver.Driver                        { return n.driver }

// db is the pool that the store and the business use.
func (e *env) db() *sql.DB { return e.store.DB() }

// exec runs a statement of the business, or of an operator.
func (e *env) exec(query string, args ...any) {
	e.Helper()
	_, err := e.db().ExecContext(context.WithoutCancel(e.Context()), query, args...)
	require.NoError(e, err, query)
}

// number returns the number that a query asks for.
func (e *env) number(query string, args ...any) (n int) {
	e.Helper()
	require.NoError(e, e.db().QueryRow(query, args...).Scan(&n), query)
	return n
}

// to describes a destination that records what it takes in.
func (e *env) to(name string, change ...func(*outbox.Destination)) outbox.Destination {
	d := outbox.Destination{
		Name: name, Backoff: outbox.Backoff{Base: time.Millisecond, Cap: 5 * time.Millisecond}, ProbeEvery: 20 * time.Millisecond,
		Attempts: 50, StuckAfter: 4 * time.Second, Handler: outbox.HandlerFunc(e.deliver),
	}
	for _, f := range change {
		f(&d)
	}
	return d
}

// deliver does what the script of the destination says, and records it.
func (e *env) deliver(ctx context.Context, d outbox.Delivery) (err error) {
	e.note(said{"begin", "here", d.To, d.Key, d.ID})
	returned := false // a script may panic
	defer func() {
		what := "failed"
		if returned && err == nil {
			what = "end"
		}
		e.note(said{what, "here", d.To, d.Key, d.ID})
	}()
	e.scriptMu.Lock()
	s := e.scripts[d.To]
	e.scriptMu.Unlock()
	if s != nil {
		err = s(ctx, d)
	}
	returned = true
	return err
}

// answers sets what a destination answers from now on; nil: it takes everything.
func (e *env) answers(name string, s script) {
	e.scriptMu.Lock()
	defer e.scriptMu.Unlock()
	e.scripts[name] = s
}

// use says which destinations there are; without any, one named "a".
func (e *env) use(ds ...outbox.Destination) {
	e.Helper()
	if len(ds) == 0 {
		ds = []outbox.Destination{e.to("a")}
	}
	e.destinations = ds
	for _, d := range ds {
		e.orders(d.Name, d.Order)
	}
	e.q = e.queue(e.keeper)
}

// queue makes a queue with the destinations of the env.
func (e *env) queue(s outbox.Store) *outbox.Queue {
	e.Helper()
	q, err := outbox.New(outbox.Config{
		Store: s, Alerts: e.alerts, Destinations: e.destinations, Observer: e.events, Lease: e.lease, PollMax: 20 * time.Millisecond,
	})
	require.NoError(e, err)
	return q
}

// A relay is one that runs in this process.
type relay struct {
	q   *outbox.Queue
	end func()
}

// relay starts one.
func (e *env) relay() *relay {
	e.Helper()
	return e.relayOn(e.keeper)
}

// relayOn starts one on another store than the env's.
func (e *env) relayOn(s outbox.Store) *relay {
	e.Helper()
	r := &relay{q: e.queue(s)}
	r.end = run(e.TB, r.q)
	e.relays = append(e.relays, r)
	return r
}

// stop ends all relays.
func (e *env) stop() {
	e.Helper()
	for _, r := range e.relays {
		r.end()
	}
	for _, c := range e.procs {
		c.stop()
	}
	e.relays, e.procs = nil, nil
	if p := e.pipe.Load(); p != nil {
		p.bury("") // nobody: all that was said is recorded
	}
}

// end leaves nothing behind, however the scenario ended.
func (e *env) end() {
	e.tap.clear()
	for _, c := range e.procs {
		c.kill()
	}
	for _, r := range e.relays {
		r.end()
	}
	if p := e.pipe.Load(); p != nil {
		p.close()
	}
}

// until waits until something is so.
func (e *env) until(what string, is func() bool) {
	e.Helper()
	end := time.Now().Add(e.patience)
	for !is() {
		if time.Now().After(end) {
			require.FailNow(e, "not so after "+e.patience.String()+": "+what, "%s\n%v\n%s", e.verdict(), e.events, e.stock())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// stock says what the database holds, for whoever reads a failure.
func (e *env) stock() string {
	var out strings.Builder
	for _, query := range []string{
		"SELECT 'shards of', relay, count(*) FROM dovetail_shard GROUP BY relay",
		"SELECT 'waiting of lane', coalesce(lane, 'its key'), count(*) FROM dovetail_message GROUP BY lane",
		"SELECT 'parked of lane', concat(lane, ' state ', state, ' shard ', shard, ' from ', min(id), ' due in ', min(due) - max(parked)), count(*) FROM dovetail_parked GROUP BY lane, state, shard ORDER BY lane, min(id)",
	} {
		rows, err := e.db().Query(query)
		if err != nil {
			fmt.Fprintln(&out, err)
			continue
		}
		for rows.Next() {
			var what, of string
			var n int
			err := rows.Scan(&what, &of, &n)
			fmt.Fprintln(&out, what, of, n, err)
		}
		_ = rows.Close()
	}
	return out.String()
}

// rows is how many messages the database holds.
func (e *env) rows() int {
	e.Helper()
	return e.number("SELECT (SELECT count(*) FROM dovetail_message) + (SELECT count(*) FROM dovetail_parked)")
}

// delivered waits until all that was committed has been delivered.
func (e *env) delivered() {
	e.Helper()
	e.until("everything is delivered", func() bool { return e.missing() == 0 })
}

// settled waits until all is delivered, stops the relays, and says what is wrong.
func (e *env) settled() {
	e.Helper()
	e.delivered()
	if e.mayFind { // what a crash brought back is delivered again
		e.until("the rest is acknowledged", func() bool { return e.rows() == e.left })
	}
	e.stop()
	require.Empty(e, e.verdict())
	require.Equal(e, e.left, e.rows(), "rows are left in the database")
	if !e.mayFind {
		require.Zero(e, e.events.count("outbox.found-behind"), "the readers passed a message by")
	}
}

// ids is n names with a number each.
func ids(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint(prefix, i)
	}
	return out
}
