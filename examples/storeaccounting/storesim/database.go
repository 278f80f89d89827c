package storesim

import (
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/tectari/dovetail/examples/storeaccounting/story"
)

const schema = `
CREATE TABLE IF NOT EXISTS customers (
	id TEXT PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL, address TEXT NOT NULL, phone TEXT NOT NULL,
	tax_number TEXT NOT NULL DEFAULT '', payment_terms TEXT NOT NULL DEFAULT '', balance TEXT NOT NULL DEFAULT '',
	version INTEGER NOT NULL, updated_at INTEGER NOT NULL, updated_by TEXT NOT NULL, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS customers_seq ON customers (seq);
CREATE TABLE IF NOT EXISTS orders (
	id TEXT PRIMARY KEY, customer_id TEXT NOT NULL, placed_on TEXT NOT NULL, total TEXT NOT NULL, status TEXT NOT NULL, lines TEXT NOT NULL,
	version INTEGER NOT NULL, updated_at INTEGER NOT NULL, updated_by TEXT NOT NULL, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS orders_seq ON orders (seq);
CREATE TABLE IF NOT EXISTS deliveries (
	n INTEGER PRIMARY KEY, event TEXT NOT NULL, body TEXT NOT NULL, again INTEGER NOT NULL,
	due INTEGER NOT NULL, first INTEGER NOT NULL, tries INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (due);
CREATE TABLE IF NOT EXISTS faulted (call TEXT PRIMARY KEY) WITHOUT ROWID;
`

const (
	customerColumns = `id, name, email, address, phone, tax_number, payment_terms, balance, version, updated_at, updated_by, seq`
	orderColumns    = `id, customer_id, placed_on, total, status, lines, version, updated_at, updated_by, seq`

	insertCustomer = `INSERT INTO customers (` + customerColumns + `)
		VALUES (?, ?, ?, ?, ?, '', '', '', 1, ?, ?, (SELECT coalesce(max(seq), 0) + 1 FROM customers)) ON CONFLICT (id) DO NOTHING`
	updateCustomer = `UPDATE customers SET name = ?, email = ?, address = ?, phone = ?, tax_number = ?, payment_terms = ?, balance = ?,
		version = version + 1, updated_at = ?, updated_by = ?, seq = (SELECT max(seq) + 1 FROM customers) WHERE id = ?`
	insertOrder = `INSERT INTO orders (` + orderColumns + `)
		VALUES (?, ?, ?, ?, 'placed', ?, 1, ?, ?, (SELECT coalesce(max(seq), 0) + 1 FROM orders))`
	updateOrder = `UPDATE orders SET status = ?, version = version + 1, updated_at = ?, updated_by = ?,
		seq = (SELECT max(seq) + 1 FROM orders) WHERE id = ?`
	insertDelivery = `INSERT INTO deliveries (event, body, again, due, first) VALUES (?, ?, ?, ?, ?)`

	customerByID     = `SELECT ` + customerColumns + ` FROM customers WHERE id = ?`
	customersAfter   = `SELECT ` + customerColumns + ` FROM customers WHERE id > ? ORDER BY id LIMIT ?`
	customersChanged = `SELECT ` + customerColumns + ` FROM customers WHERE seq > ? ORDER BY seq LIMIT ?`
	orderByID        = `SELECT ` + orderColumns + ` FROM orders WHERE id = ?`
	ordersAfter      = `SELECT ` + orderColumns + ` FROM orders WHERE id > ? ORDER BY id LIMIT ?`
	ordersChanged    = `SELECT ` + orderColumns + ` FROM orders WHERE seq > ? ORDER BY seq LIMIT ?`

	// noLimit is how SQLite spells it.
	noLimit = -1
)

type scanner interface{ Scan(...any) error }

func scanCustomer(row scanner) (c Customer, seq int64, err error) {
	var at int64
	err = row.Scan(&c.ID, &c.Name, &c.Email, &c.Address, &c.Phone, &c.TaxNumber, &c.PaymentTerms, &c.Balance,
		&c.Version, &at, &c.UpdatedBy, &seq)
	c.UpdatedAt = story.Format(at)
	return c, seq, err
}

func scanOrder(row scanner) (o Order, seq int64, err error) {
	var at int64
	var lines []byte
	err = row.Scan(&o.ID, &o.CustomerID, &o.PlacedOn, &o.Total, &o.Status, &lines, &o.Version, &at, &o.UpdatedBy, &seq)
	if err != nil {
		return o, 0, err
	}
	o.UpdatedAt = story.Format(at)
	if err := json.Unmarshal(lines, &o.Lines); err != nil {
		return o, 0, fmt.Errorf("lines of order %s: %w", o.ID, err)
	}
	return o, seq, nil
}

// scanAll reads all rows, and the seq of the last.
func scanAll[R any](rows *sql.Rows, scan func(scanner) (R, int64, error)) (records []R, last int64, err error) {
	defer rows.Close()
	records = []R{} // an empty page is [], not null
	for rows.Next() {
		record, seq, err := scan(rows)
		if err != nil {
			return nil, 0, err
		}
		records, last = append(records, record), seq
	}
	return records, last, rows.Err()
}
