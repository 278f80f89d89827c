package acctsim

import (
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"github.com/tectari/dovetail/examples/storeaccounting/story"
)

// An indexed column is found by the search only some time after it was
// written: until then the search knows email_before.
const schema = `
CREATE TABLE IF NOT EXISTS contacts (
	n INTEGER PRIMARY KEY, reference TEXT NOT NULL, name TEXT NOT NULL, email TEXT NOT NULL, address TEXT NOT NULL, phone TEXT NOT NULL,
	tax_number TEXT NOT NULL, payment_terms TEXT NOT NULL, balance TEXT NOT NULL,
	email_before TEXT NOT NULL DEFAULT '', email_at INTEGER NOT NULL, created_at INTEGER NOT NULL,
	version INTEGER NOT NULL, updated_at INTEGER NOT NULL, updated_by TEXT NOT NULL, seq INTEGER NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS contacts_seq ON contacts (seq);
CREATE INDEX IF NOT EXISTS contacts_reference ON contacts (reference);
CREATE INDEX IF NOT EXISTS contacts_email ON contacts (email);
CREATE INDEX IF NOT EXISTS contacts_email_before ON contacts (email_before);
CREATE TABLE IF NOT EXISTS invoices (
	n INTEGER PRIMARY KEY, number TEXT NOT NULL, contact INTEGER NOT NULL, date TEXT NOT NULL, total TEXT NOT NULL,
	created_at INTEGER NOT NULL, created_by TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS invoices_number ON invoices (number);
CREATE TABLE IF NOT EXISTS keys (key TEXT PRIMARY KEY, body BLOB NOT NULL, invoice INTEGER NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS faulted (call TEXT PRIMARY KEY) WITHOUT ROWID;
`

const (
	contactColumns = `n, reference, name, email, address, phone, tax_number, payment_terms, balance, version, updated_at, updated_by, seq`
	invoiceColumns = `n, number, contact, date, total, created_at, created_by`

	insertContact = `INSERT INTO contacts (reference, name, email, address, phone, tax_number, payment_terms, balance,
		email_at, created_at, version, updated_at, updated_by, seq)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?, (SELECT coalesce(max(seq), 0) + 1 FROM contacts)) RETURNING ` + contactColumns
	updateContact = `UPDATE contacts SET reference = ?, name = ?, email = ?, address = ?, phone = ?, tax_number = ?, payment_terms = ?, balance = ?,
		email_before = CASE WHEN email = ? THEN email_before ELSE email END, email_at = CASE WHEN email = ? THEN email_at ELSE ? END,
		version = version + 1, updated_at = ?, updated_by = ?, seq = (SELECT max(seq) + 1 FROM contacts) WHERE n = ? RETURNING ` + contactColumns
	insertInvoice = `INSERT INTO invoices (number, contact, date, total, created_at, created_by) VALUES (?, ?, ?, ?, ?, ?) RETURNING ` + invoiceColumns
	saveKey       = `INSERT INTO keys (key, body, invoice, at) VALUES (?, ?, ?, ?)
		ON CONFLICT (key) DO UPDATE SET body = excluded.body, invoice = excluded.invoice, at = excluded.at`

	contactByID      = `SELECT ` + contactColumns + ` FROM contacts WHERE n = ?`
	contactsAfter    = `SELECT ` + contactColumns + ` FROM contacts WHERE n > ? ORDER BY n LIMIT ?`
	contactsChanged  = `SELECT ` + contactColumns + ` FROM contacts WHERE seq > ? ORDER BY seq LIMIT ?`
	contactsNamed    = `SELECT ` + contactColumns + ` FROM contacts WHERE reference = ? AND created_at <= ? ORDER BY n LIMIT ?`
	contactsWithMail = `SELECT ` + contactColumns + ` FROM contacts WHERE (email = ?1 AND email_at <= ?2) OR (email_before = ?1 AND email_at > ?2)
		ORDER BY n LIMIT ?3`
	invoiceByID      = `SELECT ` + invoiceColumns + ` FROM invoices WHERE n = ?`
	invoicesAfter    = `SELECT ` + invoiceColumns + ` FROM invoices WHERE n > ? ORDER BY n LIMIT ?`
	invoicesNumbered = `SELECT ` + invoiceColumns + ` FROM invoices WHERE number = ? AND created_at <= ? ORDER BY n LIMIT ?`

	// noLimit is how SQLite spells it.
	noLimit = -1
)

type scanner interface{ Scan(...any) error }

func scanContact(row scanner) (c Contact, seq int64, err error) {
	var n, at int64
	err = row.Scan(&n, &c.Reference, &c.Name, &c.Email, &c.Address, &c.Phone, &c.TaxNumber, &c.PaymentTerms, &c.Balance,
		&c.Version, &at, &c.UpdatedBy, &seq)
	c.ID, c.UpdatedAt = contactID(n), story.Format(at)
	return c, seq, err
}

// scanInvoice reads an invoice. It never changes, so its number serves as seq.
func scanInvoice(row scanner) (i Invoice, seq int64, err error) {
	var n, contact, at int64
	err = row.Scan(&n, &i.Number, &contact, &i.Date, &i.Total, &at, &i.UpdatedBy)
	i.ID, i.ContactID, i.Version, i.UpdatedAt = invoiceID(n), contactID(contact), 1, story.Format(at)
	return i, n, err
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

func contactID(n int64) string { return fmt.Sprintf("con-%06d", n) }
func invoiceID(n int64) string { return fmt.Sprintf("inv-%06d", n) }

// rowOf returns the row that an ID stands for, or 0, which is no row.
func rowOf(id, prefix string) int64 {
	digits, ok := strings.CutPrefix(id, prefix)
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || n < 1 {
		return 0
	}
	return n
}
