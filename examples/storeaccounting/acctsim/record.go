// Package acctsim is the accounting system of the example: an HTTP server with
// its own SQLite file that knows nothing of the other side. API.md describes it.
package acctsim

// Contact is one contact as accounting's API shows it. Every field is a
// string; "" means not set.
type Contact struct {
	ID        string `json:"id"`
	Reference string `json:"reference"` // the caller's own ID for it; not unique

	// These three belong to the store. Accounting only holds them.
	Name    string `json:"name"`
	Email   string `json:"email"`
	Address string `json:"address"`

	Phone        string `json:"phone"`
	TaxNumber    string `json:"tax_number"`
	PaymentTerms string `json:"payment_terms"`
	Balance      string `json:"balance"` // decimal with two places

	Version   int64  `json:"version"`
	UpdatedAt string `json:"updated_at"` // RFC 3339, story time
	UpdatedBy string `json:"updated_by"` // a person, or "api"
}

// Invoice is one invoice as accounting's API shows it. It never changes.
type Invoice struct {
	ID        string `json:"id"`
	Number    string `json:"number"` // the caller's own number; not unique
	ContactID string `json:"contact_id"`
	Date      string `json:"date"`  // YYYY-MM-DD
	Total     string `json:"total"` // decimal with two places

	Version   int64  `json:"version"`
	UpdatedAt string `json:"updated_at"`
	UpdatedBy string `json:"updated_by"`
}

// Page is one answer of a list, a search or a change feed.
type Page[R any] struct {
	Records []R    `json:"records"`
	Next    string `json:"next"`
	More    bool   `json:"more"`
}
