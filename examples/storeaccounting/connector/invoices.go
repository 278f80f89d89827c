package connector

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/tectari/dovetail"
	datasync "github.com/tectari/dovetail/sync"
)

// Invoice is an order of the store as accounting keeps it: one way, and never
// changed once made.
type Invoice struct {
	Number   string         `json:"number"`
	Customer string         `json:"customer"` // the customer's ID in each system
	Date     string         `json:"date"`
	Total    dovetail.Value `json:"total"` // decimal, to the cent
}

type wireOrder struct {
	ID         string    `json:"id"`
	CustomerID string    `json:"customer_id"`
	PlacedOn   string    `json:"placed_on"`
	Total      string    `json:"total"`
	Version    int64     `json:"version"`
	UpdatedAt  time.Time `json:"updated_at"`
	UpdatedBy  string    `json:"updated_by"`
}

func (w wireOrder) observation() (datasync.Observation[Invoice], error) {
	total, err := money(w.Total, "total")
	return datasync.Observation[Invoice]{
		ID: w.ID, Version: strconv.FormatInt(w.Version, 10), At: w.UpdatedAt, By: w.UpdatedBy,
		Record: Invoice{Number: w.ID, Customer: w.CustomerID, Date: w.PlacedOn, Total: total},
	}, err
}

// storeOrders is the store's side of an invoice.
type storeOrders struct{ api }

func (s storeOrders) Get(ctx context.Context, id string) (datasync.Observation[Invoice], error) {
	w, err := get[wireOrder](ctx, s.api, "/orders/"+url.PathEscape(id), nil)
	if err != nil {
		return datasync.Observation[Invoice]{}, err
	}
	return w.observation()
}

func (s storeOrders) Changes(ctx context.Context, cursor string) (datasync.Page[Invoice], error) {
	return changes(ctx, s.api, "/orders/changes", cursor, wireOrder.observation)
}

func (s storeOrders) List(ctx context.Context, cursor string) (datasync.Page[Invoice], error) {
	return list(ctx, s.api, "/orders", cursor, wireOrder.observation)
}

type wireInvoice struct {
	ID        string    `json:"id,omitempty"`
	Number    string    `json:"number"`
	ContactID string    `json:"contact_id"`
	Date      string    `json:"date"`
	Total     string    `json:"total"`
	Version   int64     `json:"version,omitempty"`
	UpdatedAt time.Time `json:"updated_at,omitzero"`
	UpdatedBy string    `json:"updated_by,omitempty"`
}

func (w wireInvoice) observation() (datasync.Observation[Invoice], error) {
	total, err := money(w.Total, "total")
	return datasync.Observation[Invoice]{
		ID: w.ID, Version: strconv.FormatInt(w.Version, 10), At: w.UpdatedAt, By: w.UpdatedBy,
		Record: Invoice{Number: w.Number, Customer: w.ContactID, Date: w.Date, Total: total},
	}, err
}

// invoices is accounting's side.
type invoices struct{ api }

func (i invoices) Get(ctx context.Context, id string) (datasync.Observation[Invoice], error) {
	w, err := get[wireInvoice](ctx, i.api, "/invoices/"+url.PathEscape(id), nil)
	if err != nil {
		return datasync.Observation[Invoice]{}, err
	}
	return w.observation()
}

func (i invoices) List(ctx context.Context, cursor string) (datasync.Page[Invoice], error) {
	return list(ctx, i.api, "/invoices", cursor, wireInvoice.observation)
}

// Create sends the key that makes the API answer a repeat with the first
// invoice, as long as it remembers the key.
func (i invoices) Create(ctx context.Context, r datasync.Create[Invoice]) (datasync.Observation[Invoice], error) {
	key := http.Header{"Idempotency-Key": {r.IdempotencyKey}}
	w, err := send[wireInvoice](ctx, i.api, http.MethodPost, "/invoices", key, wireInvoice{
		Number: r.Record.Number, ContactID: r.Record.Customer, Date: r.Record.Date, Total: cents(r.Record.Total),
	})
	if err != nil {
		return datasync.Observation[Invoice]{}, err
	}
	return w.observation()
}

// Find looks an invoice up by its number, for the doubt that outlives the key.
func (i invoices) Find(ctx context.Context, q datasync.Query[Invoice]) ([]datasync.Observation[Invoice], error) {
	f, err := get[feed](ctx, i.api, "/invoices", url.Values{"number": {q.Record.Number}})
	p, err := pageOf(f, err, wireInvoice.observation)
	return p.Records, err
}

// Normalize: accounting writes totals with two decimals, which is the same
// decimal; everything else it keeps.
func (i invoices) Normalize(_ string, v dovetail.Value) dovetail.Value { return v }
