// Package audit compares the store with accounting, record by record, over
// HTTP. It is written apart from any sync: it knows API.md and nothing else,
// and does its own normalising, so that a mistake in a sync cannot hide here.
//
// # Guarantees
//
// Every customer, order, contact and invoice is looked at, and every field of
// every customer. A report is clean only if each order has one invoice of the
// same total for the right customer, each customer has one contact, each owned
// field shows on both sides what its owner's people last put there, and each
// phone is the same on both sides and no newer edit of it was dropped.
package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strings"
)

// Config says what to compare. Both systems must have come to rest.
type Config struct {
	StoreURL      string       // Required.
	AccountingURL string       // Required.
	Client        *http.Client // Defaults to http.DefaultClient.
}

// The fields, by whose they are.
var (
	storeFields      = []string{"name", "email", "address"}
	accountingFields = []string{"tax_number", "payment_terms", "balance"}
)

// unset is what accounting gives a new contact whose fields nobody set.
var unset = map[string]string{"tax_number": "", "payment_terms": "NET30", "balance": "0.00"}

// record is any record of either system. All its fields are strings.
type record map[string]any

func (r record) get(field string) string {
	s, _ := r[field].(string)
	return s
}

// auditor holds what both systems said, by the customer's ID in the store.
type auditor struct {
	customers, orders  []record
	contacts, invoices []record
	storeEdits         map[string][]edit // by customer and field
	accountingEdits    map[string][]edit
	report             Report
}

// Run reads both systems and compares them. The error is for a system that
// cannot be read; what it finds is in the report.
func Run(ctx context.Context, config Config) (Report, error) {
	client := config.Client
	if client == nil {
		client = http.DefaultClient
	}
	var a auditor
	var storeEdits, accountingEdits []edit
	for _, export := range []struct {
		url  string
		into any
	}{
		{config.StoreURL + "/export/customers", &a.customers},
		{config.StoreURL + "/export/orders", &a.orders},
		{config.StoreURL + "/export/edits", &storeEdits},
		{config.AccountingURL + "/export/contacts", &a.contacts},
		{config.AccountingURL + "/export/invoices", &a.invoices},
		{config.AccountingURL + "/export/edits", &accountingEdits},
	} {
		if err := read(ctx, client, export.url, export.into); err != nil {
			return Report{}, fmt.Errorf("audit: %w", err)
		}
	}
	a.storeEdits, a.accountingEdits = byField(storeEdits), byField(accountingEdits)
	a.report = Report{Customers: len(a.customers), Contacts: len(a.contacts), Orders: len(a.orders), Invoices: len(a.invoices)}
	a.compareCustomers()
	a.compareOrders()
	return a.report, nil
}

func read(ctx context.Context, client *http.Client, url string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("read %s: %s", url, response.Status)
	}
	page := struct{ Records any }{Records: into}
	if err := json.NewDecoder(response.Body).Decode(&page); err != nil {
		return fmt.Errorf("read %s: %w", url, err)
	}
	return nil
}

func (a *auditor) compareCustomers() {
	known := make(map[string]bool, len(a.customers))
	for _, c := range a.customers {
		known[c.get("id")] = true
	}
	contacts := make(map[string][]record, len(a.contacts))
	for _, c := range a.contacts {
		if reference := c.get("reference"); known[reference] {
			contacts[reference] = append(contacts[reference], c)
		} else {
			a.disagree("contact "+c.get("id"), "", "belongs to no customer: reference %q", reference)
		}
	}
	for _, customer := range a.customers {
		id := customer.get("id")
		name := "customer " + id
		found := contacts[id]
		if len(found) == 0 {
			a.lose(name, "", "no contact in accounting")
			continue
		}
		if len(found) > 1 {
			a.duplicate(name, "%d contacts in accounting: %s", len(found), list(found))
		}
		a.compareFields(name, customer, found[0])
	}
}

func (a *auditor) compareOrders() {
	contactOf := make(map[string]string, len(a.contacts))
	for _, c := range a.contacts {
		contactOf[c.get("id")] = c.get("reference")
	}
	invoices := make(map[string][]record, len(a.invoices))
	invoiced := new(big.Rat)
	for _, i := range a.invoices {
		invoices[i.get("number")] = append(invoices[i.get("number")], i)
		invoiced.Add(invoiced, amount(i.get("total")))
	}
	ordered := new(big.Rat)
	for _, order := range a.orders {
		ordered.Add(ordered, amount(order.get("total")))
		a.compareOrder(order, invoices[order.get("id")], contactOf)
		delete(invoices, order.get("id"))
	}
	for number, strays := range invoices {
		a.disagree("invoice "+list(strays), "", "belongs to no order: number %q", number)
	}
	a.report.StoreTotal, a.report.InvoicedTotal = ordered.FloatString(2), invoiced.FloatString(2)
}

func (a *auditor) compareOrder(order record, invoices []record, contactOf map[string]string) {
	name := "order " + order.get("id")
	if len(invoices) == 0 {
		a.lose(name, "", "no invoice over %s", order.get("total"))
		return
	}
	if len(invoices) > 1 {
		a.duplicate(name, "%d invoices: %s", len(invoices), list(invoices))
	}
	invoice := invoices[0]
	a.report.Fields += 3
	if amount(order.get("total")).Cmp(amount(invoice.get("total"))) != 0 {
		a.disagree(name, "total", "store %s, invoice %s over %s", order.get("total"), invoice.get("id"), invoice.get("total"))
	}
	if order.get("placed_on") != invoice.get("date") {
		a.disagree(name, "date", "store %s, invoice %s of %s", order.get("placed_on"), invoice.get("id"), invoice.get("date"))
	}
	if billed := contactOf[invoice.get("contact_id")]; billed != order.get("customer_id") {
		a.disagree(name, "customer", "placed by %s, invoice %s is for %q", order.get("customer_id"), invoice.get("id"), billed)
	}
}

func (a *auditor) lose(name, field, format string, args ...any) {
	a.report.Lost = append(a.report.Lost, Finding{name, field, fmt.Sprintf(format, args...)})
}

func (a *auditor) duplicate(name, format string, args ...any) {
	a.report.Duplicated = append(a.report.Duplicated, Finding{name, "", fmt.Sprintf(format, args...)})
}

func (a *auditor) disagree(name, field, format string, args ...any) {
	a.report.Disagreeing = append(a.report.Disagreeing, Finding{name, field, fmt.Sprintf(format, args...)})
}

// list names records by ID.
func list(records []record) string {
	var s strings.Builder
	for i, r := range records {
		if i > 0 {
			s.WriteString(", ")
		}
		s.WriteString(r.get("id"))
	}
	return s.String()
}

// amount reads a decimal. What is none counts as nothing, and will not agree.
func amount(s string) *big.Rat {
	if r, ok := new(big.Rat).SetString(s); ok {
		return r
	}
	return new(big.Rat)
}
