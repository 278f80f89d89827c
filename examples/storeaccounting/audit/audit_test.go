package audit_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/examples/storeaccounting/audit"
)

type row = map[string]any

// systems is what both sides export.
type systems struct {
	customers, orders, storeEdits       []row
	contacts, invoices, accountingEdits []row
}

// agreeing returns two systems in full agreement: two customers, two orders,
// an edit of each kind.
func agreeing() *systems {
	edit := func(at int, record, field, person, was, value string) row {
		return row{"seq": at, "at": at, "record": record, "field": field, "person": person, "was": was, "value": value}
	}
	s := &systems{
		customers: []row{
			{"id": "A", "name": " Ann  Lee", "email": "Ann@x", "address": "Boston", "phone": "+1  5", "tax_number": "US1", "payment_terms": "NET30", "balance": "7.00"},
			{"id": "B", "name": "Bob", "email": "bob@x", "address": "Rome", "phone": "+1 9", "tax_number": "", "payment_terms": "NET30", "balance": "0.00"},
		},
		contacts: []row{
			{"id": "1", "reference": "A", "name": "Ann Lee", "email": "ann@x", "address": "Boston", "phone": "+1 5", "tax_number": "US1", "payment_terms": "NET30", "balance": "7.00"},
			{"id": "2", "reference": "B", "name": "Bob", "email": "bob@x", "address": "Rome", "phone": "+1 9", "tax_number": "", "payment_terms": "NET30", "balance": "0.00"},
		},
		orders: []row{
			{"id": "O-1", "customer_id": "A", "placed_on": "2016-01-02", "total": "10.01"},
			{"id": "O-2", "customer_id": "B", "placed_on": "2016-01-03", "total": "5.00"},
		},
		invoices: []row{
			{"id": "i1", "number": "O-1", "contact_id": "1", "date": "2016-01-02", "total": "10.01"},
			{"id": "i2", "number": "O-2", "contact_id": "2", "date": "2016-01-03", "total": "5.00"},
		},
		accountingEdits: []row{
			edit(5, "A", "tax_number", "Ines", "", "US1"), edit(6, "A", "balance", "Ines", "0.00", "7.00"),
			edit(7, "A", "email", "Ines", "ann@x", "wrong@x"), // a trespass: does not count
			edit(20, "B", "phone", "Jonas", "+1 8", "+1 9"),
		},
	}
	for _, c := range []struct{ id, name, email, address, phone string }{{"A", "Ann", "Ann@x", "Boston", "+1  5"}, {"B", "Bob", "bob@x", "Rome", "+1 8"}} {
		for field, value := range map[string]string{"name": c.name, "email": c.email, "address": c.address, "phone": c.phone} {
			s.storeEdits = append(s.storeEdits, edit(1, c.id, field, "sign-up", "", value))
		}
	}
	s.storeEdits = append(s.storeEdits, edit(9, "A", "name", "Mary", "Ann", " Ann  Lee"))
	return s
}

func (s *systems) audit(t *testing.T) audit.Report {
	serve := func(exports map[string][]row) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = json.NewEncoder(w).Encode(map[string]any{"records": exports[strings.TrimPrefix(r.URL.Path, "/export/")]})
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	report, err := audit.Run(context.Background(), audit.Config{
		StoreURL:      serve(map[string][]row{"customers": s.customers, "orders": s.orders, "edits": s.storeEdits}),
		AccountingURL: serve(map[string][]row{"contacts": s.contacts, "invoices": s.invoices, "edits": s.accountingEdits}),
	})
	require.NoError(t, err)
	return report
}

func TestAgreementIsClean(t *testing.T) {
	t.Parallel()
	report := agreeing().audit(t)
	require.True(t, report.Clean(), "%+v", report)
	require.Equal(t, "15.01", report.StoreTotal)
	require.Equal(t, "15.01", report.InvoicedTotal)
	require.Equal(t, 34, report.Fields)
}

func TestEachPlantedFaultIsFound(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		plant                         func(*systems)
		lost, duplicated, disagreeing int
		says                          string
	}{
		"lost order":         {func(s *systems) { s.invoices = s.invoices[:1] }, 1, 0, 0, "order O-2: no invoice over 5.00"},
		"lost customer":      {func(s *systems) { s.contacts[1]["reference"] = "Z" }, 1, 0, 2, "customer B: no contact"},
		"duplicate invoice":  {func(s *systems) { s.invoices = append(s.invoices, s.invoices[0]) }, 0, 1, 0, "order O-1: 2 invoices: i1, i1"},
		"duplicate contact":  {func(s *systems) { s.contacts = append(s.contacts, s.contacts[0]) }, 0, 1, 0, "customer A: 2 contacts"},
		"a cent off":         {func(s *systems) { s.invoices[0]["total"] = "10.02" }, 0, 0, 1, "order O-1 total: store 10.01"},
		"wrong customer":     {func(s *systems) { s.invoices[0]["contact_id"] = "2" }, 0, 0, 1, "order O-1 customer"},
		"wrong date":         {func(s *systems) { s.invoices[0]["date"] = "2016-01-03" }, 0, 0, 1, "order O-1 date"},
		"invoice of nothing": {func(s *systems) { s.invoices = append(s.invoices, row{"id": "i3", "number": "O-9", "total": "0"}) }, 0, 0, 1, "invoice i3: belongs to no order"},
		"contact of nobody":  {func(s *systems) { s.contacts = append(s.contacts, row{"id": "3", "reference": ""}) }, 0, 0, 1, "contact 3: belongs to no customer"},
		"field differs":      {func(s *systems) { s.contacts[0]["address"] = "Paris" }, 0, 0, 1, `customer A address: the store owns it and says "Boston", the accounting shows "Paris"`},
		"mirror differs":     {func(s *systems) { s.customers[0]["tax_number"] = "us1" }, 0, 0, 1, "customer A tax_number"},
		"owner's edit gone":  {func(s *systems) { s.customers[0]["name"], s.contacts[0]["name"] = "Ann", "Ann" }, 1, 0, 1, `customer A name: Mary wrote " Ann  Lee"`},
		"trespass spread":    {func(s *systems) { s.customers[1]["email"], s.contacts[1]["email"] = "w@x", "w@x" }, 0, 0, 2, "customer B email: nobody in the store changed"},
		"default overwritten": {func(s *systems) { s.customers[1]["payment_terms"], s.contacts[1]["payment_terms"] = "NET60", "NET60" },
			0, 0, 2, "customer B payment_terms: nobody in the accounting"},
		"phones differ":      {func(s *systems) { s.contacts[0]["phone"] = "+1 6" }, 0, 0, 1, "customer A phone: store"},
		"phone from nowhere": {func(s *systems) { s.customers[0]["phone"], s.contacts[0]["phone"] = "+1 6", "+1 6" }, 0, 0, 1, "no person ever wrote"},
		"newer phone dropped": {func(s *systems) { s.customers[1]["phone"], s.contacts[1]["phone"] = "+1 8", "+1 8" },
			1, 0, 0, "customer B phone: shows \"+1 8\", which somebody had changed since"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := agreeing()
			tc.plant(s)
			r := s.audit(t)
			require.False(t, r.Clean())
			var text strings.Builder
			require.NoError(t, r.Print(&text, 100))
			require.Contains(t, text.String(), tc.says)
			require.Len(t, r.Lost, tc.lost, text.String())
			require.Len(t, r.Duplicated, tc.duplicated, text.String())
			require.Len(t, r.Disagreeing, tc.disagreeing, text.String())
		})
	}
}

func TestEitherOfTwoPhonesWrittenAtOnceMayStay(t *testing.T) {
	t.Parallel()
	for _, phone := range []string{"+1 77", "+1 9"} {
		s := agreeing()
		s.storeEdits = append(s.storeEdits, row{"seq": 21, "at": 21, "record": "B", "field": "phone", "person": "Mary", "was": "+1 8", "value": "+1  77"})
		s.customers[1]["phone"], s.contacts[1]["phone"] = phone, phone
		require.True(t, s.audit(t).Clean(), phone)
	}
}

func TestSumsMustTie(t *testing.T) {
	t.Parallel()
	r := audit.Report{StoreTotal: "1.00", InvoicedTotal: "1.01"}
	require.False(t, r.Clean())
}

func TestASystemThatIsDownIsAnError(t *testing.T) {
	t.Parallel()
	down := httptest.NewServer(http.NotFoundHandler())
	defer down.Close()
	_, err := audit.Run(context.Background(), audit.Config{StoreURL: down.URL, AccountingURL: down.URL})
	require.ErrorContains(t, err, "404")
}
