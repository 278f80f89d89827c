package sync_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/conflict"
	"github.com/tectari/dovetail/dovetailtest"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/ownership"
	"github.com/tectari/dovetail/store/memstore"
	datasync "github.com/tectari/dovetail/sync"
)

type contact struct {
	Name  string `json:"name"`
	Email string `json:"email"`
	Phone string `json:"phone"`
	VAT   string `json:"vat"`
}

// readOnly is a system that can be read and nothing else.
type readOnly struct{}

func (readOnly) Get(context.Context, string) (datasync.Observation[contact], error) {
	return datasync.Observation[contact]{}, dovetail.NewError(dovetail.NotFound, "get", "none")
}

// createOnly can create, and offers nothing against duplicates.
type createOnly struct{ readOnly }

func (createOnly) Create(context.Context, datasync.Create[contact]) (datasync.Observation[contact], error) {
	return datasync.Observation[contact]{}, nil
}

// silent can be read and written, and tells nothing by itself.
type silent struct{ readOnly }

func (silent) Update(context.Context, datasync.Update[contact]) (datasync.Observation[contact], error) {
	return datasync.Observation[contact]{}, nil
}

func (createOnly) Update(context.Context, datasync.Update[contact]) (datasync.Observation[contact], error) {
	return datasync.Observation[contact]{}, nil
}

func (createOnly) Changes(context.Context, string) (datasync.Page[contact], error) {
	return datasync.Page[contact]{}, nil
}

// told is a sink that tells a person, in tests.
func told(t testing.TB) *alert.Manager {
	t.Helper()
	m, err := alert.New(alert.Config{Routes: []alert.Route{{To: []alert.Sink{alert.SinkFunc("person", func(context.Context, alert.Notification) error { return nil })}}}})
	require.NoError(t, err)
	return m
}

// complete is a rule sheet without a fault.
func complete(t testing.TB) datasync.Config[contact] {
	t.Helper()
	store, alerts := memstore.New(), told(t)
	queue, err := outbox.New(outbox.Config{Store: store, Alerts: alerts})
	require.NoError(t, err)
	crm, erp := dovetailtest.NewSystem[contact]("crm"), dovetailtest.NewSystem[contact]("erp")
	return datasync.Config[contact]{
		Name: "contacts",
		Systems: []datasync.System[contact]{
			{Name: "crm", Endpoint: crm, Can: crm.Capabilities()},
			{Name: "erp", Endpoint: erp, Can: erp.Capabilities()},
		},
		Fields: ownership.Rules{
			"name": ownership.By("crm"), "email": ownership.By("crm"),
			"phone": ownership.Shared("crm", "erp"), "vat": ownership.By("erp"),
		},
		Resolvers: conflict.Fields{"phone": conflict.Latest(time.Minute, conflict.Park())},
		Exists:    ownership.By("crm"),
		Store:     store, Queue: queue, Alerts: alerts,
	}
}

// TestOpenDecisionsDoNotStart: each decision that is left open is refused by
// name, with what to write.
func TestOpenDecisionsDoNotStart(t *testing.T) {
	t.Parallel()
	type config = datasync.Config[contact]
	tests := []struct {
		name  string
		spoil func(*config)
		code  string
		says  []string // what failed, and the fix
	}{
		{"no name", func(c *config) { c.Name = "" }, "CFG001", []string{"Config.Name", `write Name: "customers"`}},
		{"no store", func(c *config) { c.Store = nil }, "CFG003", []string{"Config.Store", "sqlstore.New"}},
		{"no queue", func(c *config) { c.Queue = nil }, "CFG004", []string{"Config.Queue", "outbox.New"}},
		{"a queue over another store", func(c *config) { c.Store = memstore.New() }, "CFG005", []string{"Config.Queue", "commit together"}},
		{"nobody to alert", func(c *config) { c.Alerts = nil }, "CFG006", []string{"Config.Alerts", "alert.New"}},
		{"a field without owner", func(c *config) { delete(c.Fields, "vat") }, "OWN001", []string{"vat", "ownership.By"}},
		{"an unknown owner", func(c *config) { c.Fields["vat"] = ownership.By("sap") }, "OWN", []string{"sap"}},
		{"a rule for no field", func(c *config) { c.Fields["vatt"] = ownership.By("erp") }, "OWN", []string{"vatt", "vat"}},
		{"a shared field without resolver", func(c *config) { c.Resolvers = nil }, "OWN003", []string{"phone", "conflict."}},
		{"a resolver for an owned field", func(c *config) { c.Resolvers["name"] = conflict.Park() }, "OWN", []string{"name"}},
		{"a resolver that is not complete", func(c *config) { c.Resolvers["phone"] = conflict.Latest(0, nil) }, "RES001", []string{"phone"}},
		{"nobody who creates and deletes", func(c *config) { c.Exists = ownership.Rule{} }, "DEL001", []string{"Exists"}},
		{"one system", func(c *config) { c.Systems = c.Systems[:1] }, "", []string{"two"}},
		{"a system without endpoint", func(c *config) { c.Systems[1].Endpoint = nil }, "SYS001", []string{"erp", "Get"}},
		{"a field that no system type has", func(c *config) { c.Systems[1].Fields = []string{"nam"} }, "SYS003", []string{"nam"}},
		{"a create that cannot be made safe", func(c *config) {
			c.Systems[1] = datasync.System[contact]{Name: "erp", Endpoint: createOnly{}}
		}, "CRE001", []string{"erp", "idempotency.Park", "idempotency.MayRepeat"}},
		{"an owner that cannot tell its changes", func(c *config) {
			c.Systems[1] = datasync.System[contact]{Name: "erp", Endpoint: silent{}}
		}, "RED001", []string{"erp", "Changer"}},
		{"blind replacement of what the system owns", func(c *config) {
			c.Systems[1].Can.FullReplace, c.Systems[1].Can.ConditionalWrite = true, false
		}, "WRT001", []string{"erp", "ConditionalWrite"}},
		{"a patch that empties the rest", func(c *config) { c.Systems[1].Can.AbsentMeansNull = true }, "WRT003", []string{"erp", "FullReplace"}},
		{"a brake that is negative", func(c *config) { c.Brakes.Deletes = -1 }, "BRK001", []string{"Config.Brakes"}},
		{"a brake on no field", func(c *config) { c.Brakes.Changes = map[string]float64{"mail": 0.1} }, "BRK002", []string{"mail", "email"}},
		{"a brake of no share", func(c *config) { c.Brakes.Changes = map[string]float64{"email": 0} }, "BRK003", []string{"email", "0.05"}},
		{"a match field that is none", func(c *config) { c.Match = []string{"mail"} }, "MAT002", []string{"mail"}},
		{"a reference to no link", func(c *config) { c.References = map[string]*datasync.Link{"name": nil} }, "DEP003", []string{"name"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := complete(t)
			tt.spoil(&c)
			_, err := datasync.New(c)
			require.Error(t, err)
			text := err.Error()
			require.Contains(t, text, tt.code)
			for _, part := range tt.says {
				require.Contains(t, text, part)
			}
		})
	}
}

// TestNewListsEveryFaultAtOnce: whoever mends a rule sheet reads one message,
// not six.
func TestNewListsEveryFaultAtOnce(t *testing.T) {
	t.Parallel()
	_, err := datasync.New(datasync.Config[contact]{})
	require.Error(t, err)
	for _, code := range []string{"CFG001", "CFG003", "CFG004", "CFG006", "OWN001", "DEL001"} {
		require.ErrorContains(t, err, code)
	}
	for _, field := range []string{"name", "email", "phone", "vat"} {
		require.ErrorContains(t, err, field)
	}
}

// TestACompletePlanStarts: the same rule sheet without a fault is taken, and says
// what it promises.
func TestACompletePlanStarts(t *testing.T) {
	t.Parallel()
	link, err := datasync.New(complete(t))
	require.NoError(t, err)
	for _, g := range link.Guarantees() {
		require.Equal(t, datasync.Strict, g.Grade, "%+v", g)
	}
}

// TestFloatsAreRefused: money that passed through a float is no longer money.
func TestFloatsAreRefused(t *testing.T) {
	t.Parallel()
	type bill struct {
		Total float64 `json:"total"`
	}
	_, err := datasync.New(datasync.Config[bill]{})
	require.ErrorContains(t, err, "dovetail.Decimal")
}
