// Package orders reads an order history from CSV: the embedded Superstore
// sample, or any file with the same column names.
//
// # What it decides
//
//   - Amounts are exact. The total of an order is the exact sum of its lines,
//     rounded half-up to cents once.
//   - A bad row is reported by line number and the reason. Its whole order is
//     held back: an invoice over the other lines would be wrong money. All
//     other orders go through. (A row so broken that its order ID cannot be
//     read is reported and holds back nothing.)
//   - A line repeated word for word is dropped and reported; the order stays.
//     Lines that say the same under two row IDs are two lines (the history
//     has one such pair, rows 3406 and 3407): the row ID is the source's own
//     word that they differ. The second one says so in Line.RepeatOf.
//   - Postcodes of the United States that lost their leading zero get it back.
//   - A customer keeps the name and address of the first order. An order keeps
//     its own address.
//   - The history has no e-mail addresses and no phone numbers. They are
//     derived from the customer's ID and name, always the same, at example.com
//     and in the 555-01xx range that belongs to nobody.
//
// # Guarantees
//
// Read never panics and never drops a row without saying so.
package orders

// Order is one order of the history.
type Order struct {
	ID           string
	CustomerID   string
	CustomerName string
	PlacedOn     string // YYYY-MM-DD
	Address      string
	Lines        []Line
}

// Line is one line of an order.
type Line struct {
	RowID     string
	ProductID string
	Product   string
	Quantity  int
	Amount    Amount
	RepeatOf  string // row ID of an earlier line of the order that says the same; usually ""
}

// Cents is the order's total: the exact sum of its lines, rounded half-up once.
func (o Order) Cents() int64 {
	var sum Amount
	for _, l := range o.Lines {
		sum += l.Amount
	}
	return sum.Cents()
}

// BadRow is a row that did not become part of an order.
type BadRow struct {
	Line    int    // line number in the file, the header being line 1
	OrderID string // "" when the row does not say it
	Reason  string
}
