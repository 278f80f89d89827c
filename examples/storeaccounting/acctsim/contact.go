package acctsim

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"strconv"

	"github.com/tectari/dovetail/examples/storeaccounting/server"
)

// api is the name under which integrations write.
const api = "api"

// contactFields are the fields that the API lets callers write.
var contactFields = []string{"reference", "name", "email", "address", "phone", "tax_number", "payment_terms", "balance"}

// field returns where c keeps the field of the given name, which must exist.
func (c *Contact) field(name string) *string {
	return map[string]*string{
		"reference": &c.Reference, "name": &c.Name, "email": &c.Email, "address": &c.Address, "phone": &c.Phone,
		"tax_number": &c.TaxNumber, "payment_terms": &c.PaymentTerms, "balance": &c.Balance,
	}[name]
}

// set puts the normalised fields into c.
func (c *Contact) set(fields map[string]string) error {
	for name, value := range fields {
		if name == "balance" && value == "" {
			value = "0"
		}
		value, err := normal(name, value)
		if err != nil {
			return err
		}
		*c.field(name) = value
	}
	if c.Name == "" {
		return server.Invalid("name", "required")
	}
	return nil
}

// postContact is POST /contacts.
func (s *Server) postContact(w http.ResponseWriter, r *http.Request) {
	body, err := server.ReadBody(w, r)
	if err != nil {
		server.WriteError(w, err)
		return
	}
	fields, err := server.ParseFields(body, contactFields...)
	if err != nil {
		server.WriteError(w, err)
		return
	}
	contact := Contact{PaymentTerms: "NET30", Balance: "0.00"}
	if err := contact.set(fields); err != nil {
		server.WriteError(w, err)
		return
	}
	var f fate
	ctx := context.WithoutCancel(r.Context()) // the caller may hang up; what was begun is finished
	err = s.Tx(ctx, func(tx *sql.Tx) error {
		now := s.clock.Millis()
		contact, _, err = scanContact(tx.QueryRowContext(ctx, insertContact, contact.Reference, contact.Name, contact.Email, contact.Address,
			contact.Phone, contact.TaxNumber, contact.PaymentTerms, contact.Balance, now, now, now, api))
		if err != nil {
			return err
		}
		f, err = s.fateOf(ctx, tx, "POST contact "+contact.Reference+" "+contact.Email)
		return err
	})
	if err != nil {
		server.WriteError(w, err)
		return
	}
	s.Count(ContactsMade, 1)
	s.answer(w, f, http.StatusCreated, contact.Version, contact)
}

// patchContact is PATCH /contacts/{id}.
func (s *Server) patchContact(w http.ResponseWriter, r *http.Request) {
	body, err := server.ReadBody(w, r)
	if err != nil {
		server.WriteError(w, err)
		return
	}
	fields, err := server.ParseFields(body, contactFields...)
	if err != nil {
		server.WriteError(w, err)
		return
	}
	var contact Contact
	var f fate
	ctx := context.WithoutCancel(r.Context())
	err = s.Tx(ctx, func(tx *sql.Tx) error {
		before, err := contactIn(ctx, tx, rowOf(r.PathValue("id"), "con-"))
		if err != nil {
			return err
		}
		if !server.Matches(r, before.Version) {
			return server.Moved()
		}
		if contact, err = s.change(ctx, tx, before, fields, api); err != nil {
			return err
		}
		f, err = s.fateOf(ctx, tx, "PATCH "+before.ID+" "+string(body))
		return err
	})
	if err != nil {
		server.WriteError(w, err)
		return
	}
	s.answer(w, f, http.StatusOK, contact.Version, contact)
}

func contactIn(ctx context.Context, tx *sql.Tx, n int64) (Contact, error) {
	contact, _, err := scanContact(tx.QueryRowContext(ctx, contactByID, n))
	if errors.Is(err, sql.ErrNoRows) {
		return contact, server.NotFound()
	}
	return contact, err
}

// change writes fields of a contact. Nothing happens when nothing differs.
func (s *Server) change(ctx context.Context, tx *sql.Tx, before Contact, fields map[string]string, by string) (Contact, error) {
	c := before
	if err := c.set(fields); err != nil {
		return before, err
	}
	if c == before {
		return before, nil
	}
	now := s.clock.Millis()
	after, _, err := scanContact(tx.QueryRowContext(ctx, updateContact, c.Reference, c.Name, c.Email, c.Address, c.Phone,
		c.TaxNumber, c.PaymentTerms, c.Balance, c.Email, c.Email, now, now, by, rowOf(c.ID, "con-")))
	return after, err
}

// getContacts is GET /contacts: the list, or a search.
func (s *Server) getContacts(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	switch {
	case query.Has("reference"):
		found(s, w, r, contactsNamed, scanContact, query.Get("reference"))
	case query.Has("email"):
		email, _ := normal("email", query.Get("email")) // cannot fail: any text is an e-mail address here
		found(s, w, r, contactsWithMail, scanContact, email)
	default:
		pages(s, w, r, contactsAfter, scanContact, func(c Contact) string { return c.ID }, "con-")
	}
}

// changedContacts is GET /contacts/changes.
func (s *Server) changedContacts(w http.ResponseWriter, r *http.Request) {
	since, limit, err := server.SinceOf(r)
	if err != nil {
		server.WriteError(w, err)
		return
	}
	records, last, err := read(s, r, contactsChanged, scanContact, since, limit)
	if err != nil {
		server.WriteError(w, err)
		return
	}
	next := server.Cursor(strconv.FormatInt(max(since, last), 10))
	server.WriteJSON(w, http.StatusOK, Page[Contact]{Records: records, Next: next, More: len(records) == limit})
}
