package connector

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tectari/dovetail"
	datasync "github.com/tectari/dovetail/sync"
)

// Customer is what both systems agree a customer is.
type Customer struct {
	Number       string         `json:"number"` // the store's own number for the customer
	Name         string         `json:"name"`
	Email        string         `json:"email"`
	Address      string         `json:"address"`
	Phone        string         `json:"phone"`
	TaxNumber    string         `json:"tax_number"`
	PaymentTerms string         `json:"payment_terms"`
	Balance      dovetail.Value `json:"balance"` // decimal
}

// wireCustomer is a customer on the wire of either system.
type wireCustomer struct {
	ID           string    `json:"id"`
	Reference    string    `json:"reference"` // accounting only
	Name         string    `json:"name"`
	Email        string    `json:"email"`
	Address      string    `json:"address"`
	Phone        string    `json:"phone"`
	TaxNumber    string    `json:"tax_number"`
	PaymentTerms string    `json:"payment_terms"`
	Balance      string    `json:"balance"`
	Version      int64     `json:"version"`
	UpdatedAt    time.Time `json:"updated_at"`
	UpdatedBy    string    `json:"updated_by"`
}

// number is the store's number of the customer: its ID there, the reference in
// accounting.
func (w wireCustomer) number() string {
	if w.Reference != "" {
		return w.Reference
	}
	return w.ID
}

func (w wireCustomer) observation() (datasync.Observation[Customer], error) {
	balance, err := money(w.Balance, "balance")
	return datasync.Observation[Customer]{
		ID: w.ID, Version: strconv.FormatInt(w.Version, 10), At: w.UpdatedAt, By: w.UpdatedBy,
		Record: Customer{Number: w.number(), Name: w.Name, Email: w.Email, Address: w.Address, Phone: w.Phone, TaxNumber: w.TaxNumber, PaymentTerms: w.PaymentTerms, Balance: balance},
	}, err
}

func showCustomer(w wireCustomer) (datasync.Observation[Customer], error) { return w.observation() }

// body is the JSON of some fields of c.
func body(c Customer, fields, null []string) map[string]any {
	all := map[string]any{
		"reference": c.Number,
		"number":    c.Number, "name": c.Name, "email": c.Email, "address": c.Address, "phone": c.Phone,
		"tax_number": c.TaxNumber, "payment_terms": c.PaymentTerms, "balance": cents(c.Balance),
	}
	out := make(map[string]any, len(fields))
	for _, f := range fields {
		if f == "number" {
			f = "reference"
		}
		out[f] = all[f]
	}
	for _, f := range null {
		out[f] = nil
	}
	return out
}

// storeCustomers is the store's side of a customer.
type storeCustomers struct{ api }

func (s storeCustomers) Get(ctx context.Context, id string) (datasync.Observation[Customer], error) {
	w, err := get[wireCustomer](ctx, s.api, "/customers/"+url.PathEscape(id), nil)
	if err != nil {
		return datasync.Observation[Customer]{}, err
	}
	return w.observation()
}

func (s storeCustomers) Changes(ctx context.Context, cursor string) (datasync.Page[Customer], error) {
	return changes(ctx, s.api, "/customers/changes", cursor, showCustomer)
}

func (s storeCustomers) List(ctx context.Context, cursor string) (datasync.Page[Customer], error) {
	return list(ctx, s.api, "/customers", cursor, showCustomer)
}

func (s storeCustomers) Update(ctx context.Context, u datasync.Update[Customer]) (datasync.Observation[Customer], error) {
	w, err := send[wireCustomer](ctx, s.api, http.MethodPatch, "/customers/"+url.PathEscape(u.ID), ifMatch(u.Version), body(u.Record, u.Fields, u.Null))
	if err != nil {
		return datasync.Observation[Customer]{}, err
	}
	return w.observation()
}

// contacts is accounting's side of a customer.
type contacts struct{ api }

func (c contacts) Get(ctx context.Context, id string) (datasync.Observation[Customer], error) {
	w, err := get[wireCustomer](ctx, c.api, "/contacts/"+url.PathEscape(id), nil)
	if err != nil {
		return datasync.Observation[Customer]{}, err
	}
	return w.observation()
}

func (c contacts) Changes(ctx context.Context, cursor string) (datasync.Page[Customer], error) {
	return changes(ctx, c.api, "/contacts/changes", cursor, showCustomer)
}

func (c contacts) List(ctx context.Context, cursor string) (datasync.Page[Customer], error) {
	return list(ctx, c.api, "/contacts", cursor, showCustomer)
}

// Create has no idempotency key to send. The customer's number in the reference
// makes a contact that was created without our knowing findable.
func (c contacts) Create(ctx context.Context, r datasync.Create[Customer]) (datasync.Observation[Customer], error) {
	w, err := send[wireCustomer](ctx, c.api, http.MethodPost, "/contacts", nil, body(r.Record, r.Fields, nil))
	if err != nil {
		return datasync.Observation[Customer]{}, err
	}
	return w.observation()
}

func (c contacts) Find(ctx context.Context, q datasync.Query[Customer]) ([]datasync.Observation[Customer], error) {
	f, err := get[feed](ctx, c.api, "/contacts", url.Values{"reference": {q.Record.Number}})
	p, err := pageOf(f, err, showCustomer)
	return p.Records, err
}

func (c contacts) Update(ctx context.Context, u datasync.Update[Customer]) (datasync.Observation[Customer], error) {
	w, err := send[wireCustomer](ctx, c.api, http.MethodPatch, "/contacts/"+url.PathEscape(u.ID), ifMatch(u.Version), body(u.Record, u.Fields, u.Null))
	if err != nil {
		return datasync.Observation[Customer]{}, err
	}
	return w.observation()
}

// Normalize is what accounting does to values, as its documentation says.
func (c contacts) Normalize(field string, v dovetail.Value) dovetail.Value {
	if v.Kind() != dovetail.KindString {
		return v
	}
	switch field {
	case "name", "address", "phone":
		return dovetail.String(strings.Join(strings.Fields(v.Text()), " "))
	case "email":
		return dovetail.String(strings.ToLower(strings.TrimSpace(v.Text())))
	default:
		return v
	}
}
