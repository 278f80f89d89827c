package crashtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tectari/dovetail/dovetailtest"
)

// transparent functions do not name an effect: their callers do.
var transparent = []string{
	"crashtest.source.", "crashtest.keyed.", "crashtest.searched.", "sync.bind", "sync.(*Link).change", "sync.(*Link).load",
	"outbox.(*Queue).Tx", "idempotency.(*session)",
}

// world is one story: two systems, people, a database file, and one run of the
// program after the other.
type world struct {
	// patience is how many looks must find everything still; a process of its own
	// may take long to start.
	patience    int
	t           *testing.T
	shop, books *service
	path        string
	look        *sql.DB // our own eyes on the file

	mu        sync.Mutex
	planned   []dovetailtest.Strike // one for each run of the program, as long as there are
	strikes   []dovetailtest.Strike // what is left of them
	labels    map[string]int
	struck    int
	process   *process
	meanwhile int // successors under way
	phone     string
	total     string
	name      string
	edits     int

	keep  func() // sees to it that the program runs
	storm func() // what else happens after people acted; nil: nothing
}

// process is one run of the program.
type process struct {
	crasher *dovetailtest.Crasher
	program *program
	db      *sql.DB
	stop    context.CancelFunc
	done    chan error
}

var template = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp(scratch(), "template")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "t.db")
	if err := migrate(context.Background(), path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// scratch is where databases lie: in memory where the machine offers that, since
// what dies here is the process, not the disk.
func scratch() string {
	if _, err := os.Stat("/dev/shm"); err == nil {
		return "/dev/shm"
	}
	return ""
}

func newServices() (shopService, booksService *service) {
	return newService("shop", map[string]*collection{"customers": {}, "orders": {}}),
		newService("books", map[string]*collection{"customers": {lag: findLag}, "invoices": {keyed: true}})
}

func newWorld(t *testing.T, strikes ...dovetailtest.Strike) *world {
	t.Helper()
	dir, err := os.MkdirTemp(scratch(), "crash")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	file, err := template()
	require.NoError(t, err)
	w := &world{t: t, path: filepath.Join(dir, "s.db"), planned: strikes, strikes: strikes, labels: make(map[string]int)}
	require.NoError(t, os.WriteFile(w.path, file, 0o600))
	w.shop, w.books = newServices()
	w.look, err = sql.Open("sqlite", dsnOf(w.path))
	require.NoError(t, err)
	w.look.SetMaxOpenConns(1)
	w.keep = w.revive
	return w
}

// start begins a run of the program.
func (w *world) start(strike dovetailtest.Strike, meanwhile func()) *process {
	p := &process{done: make(chan error, 1)}
	p.crasher = dovetailtest.NewCrasher(dovetailtest.CrashConfig{Strike: strike, Meanwhile: meanwhile, Transparent: transparent})
	inner, err := openConnector(w.path)
	require.NoError(w.t, err)
	p.db = sql.OpenDB(p.crasher.Connector(inner))
	at := places{
		shop: &http.Client{Transport: p.crasher.Transport(w.shop)}, books: &http.Client{Transport: p.crasher.Transport(w.books)},
		shopURL: "http://shop", booksURL: "http://books",
	}
	p.program, err = newProgram(p.db, at)
	require.NoError(w.t, err)
	var ctx context.Context
	ctx, p.stop = context.WithCancel(p.crasher.Context())
	go func() { p.done <- p.program.run(ctx) }()
	return p
}

// end waits for a run of the program to end, asking it to where it lives.
func (w *world) end(p *process) {
	p.stop()
	select {
	case err := <-p.done:
		if err != nil && !errors.Is(err, dovetailtest.ErrCrashed) && !errors.Is(err, dovetailtest.ErrStruck) {
			w.t.Errorf("the program ended: %v", err)
		}
	case <-time.After(time.Minute):
		w.t.Errorf("the program did not end within a minute of being told to")
	}
	_ = p.db.Close() // of a dead process it has nothing to say
	w.mu.Lock()
	defer w.mu.Unlock()
	for label, n := range p.crasher.Labels() {
		w.labels[label] = max(w.labels[label], n)
	}
	if p.crasher.Struck() {
		w.struck++
	}
}

// revive sees to it that the program runs.
func (w *world) revive() {
	if p := w.process; p != nil {
		select {
		case err := <-p.done: // it ended by itself, and something starts it again
			p.done <- err
		default:
			if !p.crasher.Dead() {
				return
			}
		}
		w.end(p)
	}
	var strike dovetailtest.Strike
	if len(w.strikes) > 0 {
		strike, w.strikes = w.strikes[0], w.strikes[1:]
	}
	meanwhile := w.successor
	if strike.Fault == dovetailtest.ActBefore || strike.Fault == dovetailtest.ActAfter {
		meanwhile = w.act
	}
	w.process = w.start(strike, meanwhile)
}

// successor runs the program to the end beside a process that stands still.
func (w *world) successor() {
	w.during(1)
	defer w.during(-1)
	p := w.start(dovetailtest.Strike{}, nil)
	w.wait(func() int { return 0 })
	w.end(p)
}

func (w *world) during(by int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.meanwhile += by
}

func (w *world) paused() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.meanwhile
}

// settle runs the program, again and again where it dies, until nothing is left
// to do.
func (w *world) settle() {
	if w.storm != nil {
		w.storm()
	}
	w.wait(func() int {
		if w.paused() == 0 {
			w.keep()
		}
		return w.paused()
	})
}

// wait returns once everything has stood still for longer than a poll takes.
func (w *world) wait(tick func() int) {
	const step, most = 100 * time.Millisecond, 600
	enough := max(7, w.patience)
	last, stable := "", 0
	for range most {
		held := tick()
		pause(step)
		now, busy := w.state()
		if busy > 0 || held > 0 || now != last {
			last, stable = now, 0
			continue
		}
		if stable++; stable == enough {
			return
		}
	}
	now, busy := w.state()
	w.t.Errorf("STUCK: nothing moves and %d pieces of work are left: %s\n%s", busy, now, w.dump())
}

// state sums up the database and the systems, and counts the work that is left.
func (w *world) state() (print string, busy int) {
	var seqs, history, messages, parked, open, creating int
	err := w.look.QueryRowContext(w.t.Context(), `SELECT
		(SELECT coalesce(sum(seq), 0) FROM dovetail_record), (SELECT count(*) FROM dovetail_history),
		(SELECT count(*) FROM dovetail_message), (SELECT count(*) FROM dovetail_parked WHERE state NOT IN (4, 5)),
		(SELECT count(*) FROM dovetail_record WHERE outstanding = 1), (SELECT count(*) FROM dovetail_ref WHERE state = 3)`).
		Scan(&seqs, &history, &messages, &parked, &open, &creating)
	if err != nil {
		w.t.Errorf("look at the state: %v", err)
	}
	changes := w.shop.changes() + w.books.changes()
	return fmt.Sprint("seqs ", seqs, " history ", history, " messages ", messages, " parked ", parked, " outstanding ", open, " creating ", creating, " changes ", changes), messages + parked + open + creating
}

// dump says what the database holds, for a person who must find out why.
func (w *world) dump() string {
	var b strings.Builder
	for _, q := range []string{
		`SELECT link || '/' || key || ' seq ' || seq || ' outstanding ' || outstanding || ' parked ' || parked FROM dovetail_record`,
		`SELECT 'ref ' || link || '/' || key || ' ' || system || ':' || replace(id, char(0), '0') || ' state ' || state FROM dovetail_ref`,
		`SELECT 'wait ' || link || '/' || key || ' for ' || parent || ' in ' || system FROM dovetail_wait`,
		`SELECT 'message ' || destination || ' ' || key FROM dovetail_message`,
		`SELECT 'parked ' || destination || ' ' || key || ' state ' || state || ' attempts ' || attempts || ' ' || error FROM dovetail_parked`,
		`SELECT 'history ' || link || '/' || key || ' ' || system || ' ' || kind || ' ' || field || ' ' || rule || ': ' || why || ' ' || old || '>' || new FROM dovetail_history`,
	} {
		rows, err := w.look.QueryContext(w.t.Context(), q)
		if err != nil {
			fmt.Fprintln(&b, err)
			continue
		}
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				fmt.Fprintln(&b, err)
			}
			fmt.Fprintln(&b, line)
		}
		_ = rows.Close() // it was read to its end
	}
	for _, s := range []*service{w.shop, w.books} {
		for path := range s.collections {
			fmt.Fprintln(&b, s.name, path, s.all(path))
		}
	}
	return b.String()
}

// act is somebody else: people at both systems.
func (w *world) act() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.edits++
	w.name, w.phone, w.total = fmt.Sprint("Ann ", w.edits), fmt.Sprint("333-", w.edits), fmt.Sprint("20.0", w.edits)
	w.shop.edit("customers", "email", "ann@x", "name", w.name)
	w.shop.edit("customers", "email", "ann@x", "phone", w.phone)
	w.shop.edit("orders", "number", "N1", "total", w.total)
	w.books.edit("customers", "email", "ann@x", "phone", "444")
	w.books.edit("customers", "email", "ann@x", "tax", fmt.Sprint("DE", w.edits))
	w.books.edit("customers", "email", "ann@x", "email", "trespass@x")
}

// story is what people do, settled after each part.
func (w *world) story() {
	ann := w.shop.add("customers", map[string]string{"name": "Ann", "email": "ann@x", "phone": "000", "tax": ""})
	w.shop.add("orders", map[string]string{"number": "N1", "customer": ann, "total": "19.90"})
	w.mu.Lock()
	w.name, w.phone, w.total = "Ann", "000", "19.90"
	w.mu.Unlock()
	w.settle()

	w.mu.Lock()
	w.phone = "111"
	w.shop.edit("customers", "email", "ann@x", "phone", "111")
	w.books.edit("customers", "email", "ann@x", "phone", "222")
	w.books.edit("customers", "email", "ann@x", "name", "Trespass")
	w.books.edit("invoices", "number", "N1", "total", "0.01")
	w.books.edit("customers", "email", "ann@x", "tax", "DE7")
	w.mu.Unlock()
	w.settle()

	bob := w.shop.add("customers", map[string]string{"name": "Bob", "email": "bob@x", "phone": "555", "tax": ""})
	w.shop.add("orders", map[string]string{"number": "N2", "customer": bob, "total": "5.00"})
	w.settle()
}

// check says whether the promises were kept: each record once, every owner's
// value everywhere, nothing left over, and nothing to do for a program that is
// started again.
func (w *world) check() {
	t := w.t
	changes := w.shop.changes() + w.books.changes()
	if w.process != nil {
		w.end(w.process)
	}
	if w.shop.changes()+w.books.changes() != changes { // somebody acted while it ended
		w.process = nil
		w.settle()
		w.end(w.process)
	}
	writes := w.shop.written() + w.books.written()
	idle := w.start(dovetailtest.Strike{}, nil)
	w.wait(func() int { return 0 })
	w.end(idle)
	if n := w.shop.written() + w.books.written() - writes; n != 0 {
		t.Errorf("a program with nothing to do made %d writes", n)
	}
	w.compare()
	for what, query := range map[string]string{
		"parked records": `SELECT count(*) FROM dovetail_record WHERE parked = 1`,
		"dead letters":   `SELECT count(*) FROM dovetail_parked`,
		"messages":       `SELECT count(*) FROM dovetail_message`,
		"waits":          `SELECT count(*) FROM dovetail_wait`,
	} {
		var n int
		if err := w.look.QueryRowContext(t.Context(), query).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d %s are left, %v", n, what, err)
		}
	}
	if t.Failed() {
		t.Log(w.dump())
	}
	if err := w.look.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// compare compares the systems record by record.
func (w *world) compare() {
	t := w.t
	theirs := make(map[string]map[string]string)
	keys := make(map[string]string) // shop's customer → the books' one
	for _, c := range w.books.all("customers") {
		if theirs[c["email"]] != nil {
			t.Errorf("customer %s is in the books twice", c["email"])
		}
		theirs[c["email"]] = c
	}
	ours := w.shop.all("customers")
	if len(ours) != 2 || len(theirs) != 2 {
		t.Errorf("%d customers in the shop and %d in the books; want 2 each", len(ours), len(theirs))
	}
	for _, c := range ours {
		b := theirs[c["email"]]
		keys[c["id"]] = b["id"]
		for _, field := range []string{"name", "email", "phone", "tax"} {
			if c[field] != b[field] {
				t.Errorf("%s of %s: the shop says %q, the books %q", field, c["email"], c[field], b[field])
			}
		}
		if c["email"] == "ann@x" && (c["phone"] != w.phone || c["name"] != w.name || !strings.HasPrefix(c["tax"], "DE")) {
			t.Errorf("ann is %v; want name %q and phone %q as the shop's people set them, and the tax number of the books", c, w.name, w.phone)
		}
	}
	invoices := make(map[string]map[string]string)
	for _, i := range w.books.all("invoices") {
		if invoices[i["number"]] != nil {
			t.Errorf("invoice %s is in the books twice", i["number"])
		}
		invoices[i["number"]] = i
	}
	orders := w.shop.all("orders")
	if len(orders) != 2 || len(invoices) != 2 {
		t.Errorf("%d orders and %d invoices; want 2 each", len(orders), len(invoices))
	}
	for _, o := range orders {
		i := invoices[o["number"]]
		if i["total"] != o["total"] || i["customer"] != keys[o["customer"]] {
			t.Errorf("order %v became invoice %v of customer %s", o, i, keys[o["customer"]])
		}
		if o["number"] == "N1" && o["total"] != w.total {
			t.Errorf("order N1 is %v; want total %q", o, w.total)
		}
	}
}

func sortedLabels(labels map[string]int) []string { return slices.Sorted(maps.Keys(labels)) }
