// Package storesim is the online store of the example: an HTTP server with its
// own SQLite file that knows nothing of the other side. API.md describes it.
package storesim

// Customer is one customer as the store's API shows it. Every field is a
// string; "" means not set.
type Customer struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Email   string `json:"email"`
	Address string `json:"address"`
	Phone   string `json:"phone"`

	// These three belong to accounting. The store only shows them.
	TaxNumber    string `json:"tax_number"`
	PaymentTerms string `json:"payment_terms"`
	Balance      string `json:"balance"` // decimal, such as "261.96"

	Version   int64  `json:"version"`
	UpdatedAt string `json:"updated_at"` // RFC 3339, story time
	UpdatedBy string `json:"updated_by"` // a person, or "api"
}

// Order is one order as the store's API shows it. Only its status changes
// after it was placed.
type Order struct {
	ID         string `json:"id"`
	CustomerID string `json:"customer_id"`
	PlacedOn   string `json:"placed_on"` // YYYY-MM-DD, as in the order history
	Total      string `json:"total"`     // decimal with two places
	Status     string `json:"status"`    // "placed" or "shipped"
	Lines      []Line `json:"lines"`

	Version   int64  `json:"version"`
	UpdatedAt string `json:"updated_at"`
	UpdatedBy string `json:"updated_by"`
}

// Line is one line of an order. Amount has as many decimals as the order
// history gives it; the order's total is their exact sum, rounded once.
type Line struct {
	ProductID string `json:"product_id"`
	Name      string `json:"name"`
	Quantity  int    `json:"quantity"`
	Amount    string `json:"amount"`
}

// Page is one answer of a list or of a change feed.
type Page[R any] struct {
	Records []R    `json:"records"`
	Next    string `json:"next"`
	More    bool   `json:"more"`
}

// Event is the body of a webhook: what changed, not how.
type Event struct {
	Type    string `json:"type"` // customer.created, customer.updated, order.created, order.updated
	ID      string `json:"id"`
	Version int64  `json:"version"`
}
