package acctsim

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"net/http"
	"time"

	"github.com/tectari/dovetail/examples/storeaccounting/server"
)

// postInvoice is POST /invoices.
func (s *Server) postInvoice(w http.ResponseWriter, r *http.Request) {
	body, err := server.ReadBody(w, r)
	if err != nil {
		server.WriteError(w, err)
		return
	}
	fields, err := server.ParseFields(body, "number", "contact_id", "date", "total")
	if err != nil {
		server.WriteError(w, err)
		return
	}
	key := r.Header.Get("Idempotency-Key")
	var invoice Invoice
	var replayed bool
	var f fate
	ctx := context.WithoutCancel(r.Context()) // the caller may hang up; what was begun is finished
	err = s.Tx(ctx, func(tx *sql.Tx) error {
		invoice, replayed, err = s.replay(ctx, tx, key, body)
		if err != nil || replayed {
			return err
		}
		if invoice, err = s.makeInvoice(ctx, tx, fields); err != nil {
			return err
		}
		if key != "" {
			if _, err := tx.ExecContext(ctx, saveKey, key, body, rowOf(invoice.ID, "inv-"), s.clock.Millis()); err != nil {
				return err
			}
		}
		f, err = s.fateOf(ctx, tx, "POST invoice "+invoice.Number)
		return err
	})
	if err != nil {
		server.WriteError(w, err)
		return
	}
	if replayed {
		s.Count(KeysReplayed, 1)
		w.Header().Set("Idempotency-Replayed", "true")
	} else {
		s.Count(InvoicesMade, 1)
	}
	s.answer(w, f, http.StatusCreated, invoice.Version, invoice)
}

// replay returns the invoice that an earlier call with the same key made, if
// that was within the KeyWindow.
func (s *Server) replay(ctx context.Context, tx *sql.Tx, key string, body []byte) (Invoice, bool, error) {
	if key == "" {
		return Invoice{}, false, nil
	}
	var before []byte
	var n int64
	const query = `SELECT body, invoice FROM keys WHERE key = ? AND at > ?`
	err := tx.QueryRowContext(ctx, query, key, s.clock.Millis()-KeyWindow.Milliseconds()).Scan(&before, &n)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Invoice{}, false, nil
	case err != nil:
		return Invoice{}, false, err
	case !bytes.Equal(before, body):
		return Invoice{}, false, server.Problem{Status: http.StatusUnprocessableEntity, Code: "key_reused",
			Detail: "this Idempotency-Key came with another body before"}
	}
	invoice, _, err := scanInvoice(tx.QueryRowContext(ctx, invoiceByID, n))
	return invoice, err == nil, err
}

func (s *Server) makeInvoice(ctx context.Context, tx *sql.Tx, fields map[string]string) (Invoice, error) {
	if fields["number"] == "" {
		return Invoice{}, server.Invalid("number", "required")
	}
	if _, err := time.Parse(time.DateOnly, fields["date"]); err != nil {
		return Invoice{}, server.Invalid("date", "not a date like 2018-01-31")
	}
	total, err := normal("total", fields["total"])
	if err != nil {
		return Invoice{}, err
	}
	contact := rowOf(fields["contact_id"], "con-")
	if _, err := contactIn(ctx, tx, contact); err != nil {
		if _, gone := errors.AsType[server.Problem](err); gone {
			err = server.Invalid("contact_id", "no such contact")
		}
		return Invoice{}, err
	}
	invoice, _, err := scanInvoice(tx.QueryRowContext(ctx, insertInvoice, fields["number"], contact, fields["date"], total, s.clock.Millis(), api))
	return invoice, err
}

// getInvoices is GET /invoices: the list, or a search by number.
func (s *Server) getInvoices(w http.ResponseWriter, r *http.Request) {
	if query := r.URL.Query(); query.Has("number") {
		found(s, w, r, invoicesNumbered, scanInvoice, query.Get("number"))
		return
	}
	pages(s, w, r, invoicesAfter, scanInvoice, func(i Invoice) string { return i.ID }, "inv-")
}
