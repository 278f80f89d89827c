package sync_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/conflict"
	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/ownership"
	"github.com/tectari/dovetail/store/memstore"
	datasync "github.com/tectari/dovetail/sync"
)

// inbox is a person: what they were told, in order.
type inbox struct {
	mu    sync.Mutex
	notes []alert.Notification
}

func (i *inbox) Name() string { return "person" }

func (i *inbox) Send(_ context.Context, n alert.Notification) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.notes = append(i.notes, n)
	return nil
}

// heard lists what was told of a rule, "firing code/field" and "resolved …".
func (i *inbox) heard(rule alert.Rule) []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	var all []string
	for _, n := range i.notes {
		if n.Problem.Rule == rule {
			all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", n.State, n.Problem.System, n.Problem.Code, n.Problem.Field)))
		}
	}
	return all
}

// rig is a link of two systems and everything around it, in fake time. What it
// keeps outlives the processes that reopen starts.
type rig struct {
	store    *memstore.Store
	over     datasync.Store // what the link sees of store; nil: the store itself
	crm, erp *dovetailtest.System[contact]
	person   *inbox
	config   func(*datasync.Config[contact])

	queue *outbox.Queue
	link  *datasync.Link
	alarm *alert.Manager
}

// newRig has two empty systems. config changes the rule sheet before each start.
func newRig(t *testing.T, config func(*datasync.Config[contact])) *rig {
	t.Helper()
	r := &rig{store: memstore.New(), crm: dovetailtest.NewSystem[contact]("crm"), erp: dovetailtest.NewSystem[contact]("erp"), person: &inbox{}, config: config}
	r.reopen(t)
	return r
}

// reopen is a new process over the same database.
func (r *rig) reopen(t *testing.T) {
	t.Helper()
	var err error
	r.alarm, err = alert.New(alert.Config{Store: r.store, Settle: -1, Observer: quiet{}, Routes: []alert.Route{{To: []alert.Sink{r.person}, Wait: -1, Repeat: -1}}})
	require.NoError(t, err)
	var store interface {
		datasync.Store
		outbox.Store
	} = r.store
	if r.over != nil {
		store = r.over.(interface {
			datasync.Store
			outbox.Store
		})
	}
	r.queue, err = outbox.New(outbox.Config{Store: store, Alerts: r.alarm, Observer: quiet{}})
	require.NoError(t, err)
	c := datasync.Config[contact]{
		Name: "contacts",
		Systems: []datasync.System[contact]{
			{Name: "crm", Endpoint: r.crm, Can: r.crm.Capabilities()},
			{Name: "erp", Endpoint: r.erp, Can: r.erp.Capabilities()},
		},
		Fields: ownership.Rules{
			"name": ownership.By("crm"), "email": ownership.By("crm"),
			"phone": ownership.Shared("crm", "erp"), "vat": ownership.By("erp"),
		},
		Resolvers: conflict.Fields{"phone": conflict.Latest(time.Minute, conflict.Park())},
		Exists:    ownership.By("crm"),
		Store:     store, Queue: r.queue, Alerts: r.alarm, Observer: quiet{},
	}
	if r.config != nil {
		r.config(&c)
	}
	r.link, err = datasync.New(c)
	require.NoError(t, err)
}

// runFor lets the process live for a while.
func (r *rig) runFor(t *testing.T, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	require.NoError(t, datasync.Run(ctx, r.link))
}

// fill makes n records in the CRM and waits until the ERP has them.
func (r *rig) fill(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		r.crm.Put(id(i), "ann", contact{Name: "n", Email: fmt.Sprintf("%d@example.com", i), Phone: "1"})
	}
	r.runFor(t, 5*time.Minute)
	require.Len(t, r.erp.All(), n)
}

func id(i int) string { return fmt.Sprintf("c%05d", i) }

// filled counts the records of a system that have a field.
func filled(s *dovetailtest.System[contact], field func(contact) string) (n int) {
	for _, c := range s.All() {
		if field(c) != "" {
			n++
		}
	}
	return n
}

func email(c contact) string { return c.Email }
func phone(c contact) string { return c.Phone }

// inTime runs a test in fake time.
func inTime(t *testing.T, fn func(*testing.T)) {
	t.Helper()
	synctest.Test(t, fn)
}

// deaf is a system whose feed of changes tells nothing: webhooks and pages that
// were lost.
type deaf struct{ *dovetailtest.System[contact] }

func (deaf) Changes(context.Context, string) (datasync.Page[contact], error) {
	return datasync.Page[contact]{}, nil
}

// lister is deaf, and its list is whatever the test says.
type lister struct {
	deaf
	list func(cursor string) (datasync.Page[contact], error)
	gets int
	mu   sync.Mutex
}

func (l *lister) List(ctx context.Context, cursor string) (datasync.Page[contact], error) {
	if l.list == nil {
		return l.System.List(ctx, cursor)
	}
	return l.list(cursor)
}

func (l *lister) Get(ctx context.Context, id string) (datasync.Observation[contact], error) {
	l.mu.Lock()
	l.gets++
	l.mu.Unlock()
	return l.System.Get(ctx, id)
}

func (l *lister) reads() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gets
}

// next moves a cursor of dovetailtest.System on by n changes.
func next(cursor string, n int) string {
	at, err := strconv.Atoi(cursor)
	if err != nil && cursor != "" {
		panic(err) // the cursor is our own
	}
	return strconv.Itoa(at + n)
}
