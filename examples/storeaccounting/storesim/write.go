package storesim

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/tectari/dovetail/examples/storeaccounting/orders"
	"github.com/tectari/dovetail/examples/storeaccounting/server"
	"github.com/tectari/dovetail/examples/storeaccounting/story"
)

// api is the name under which integrations write.
const api = "api"

// patch applies fields to a customer over the API. lost says that the answer
// must not reach the caller.
func (s *Server) patch(ctx context.Context, r *http.Request, body string, fields map[string]string) (after Customer, lost bool, err error) {
	err = s.Tx(ctx, func(tx *sql.Tx) error {
		before, err := customerIn(ctx, tx, r.PathValue("id"))
		if err != nil {
			return err
		}
		if !server.Matches(r, before.Version) {
			return server.Moved()
		}
		after, err = s.change(ctx, tx, before, fields, api)
		if err != nil {
			return err
		}
		lost, err = s.losesReply(ctx, tx, "PATCH "+before.ID+" "+body)
		return err
	})
	return after, lost, err
}

// losesReply decides whether the reply to a call is lost: one call in a
// hundred, and each only once, so that trying again gets through.
func (s *Server) losesReply(ctx context.Context, tx *sql.Tx, call string) (bool, error) {
	if server.Chance(s.seed, "lost", call) >= 100 {
		return false, nil
	}
	result, err := tx.ExecContext(ctx, `INSERT INTO faulted (call) VALUES (?) ON CONFLICT DO NOTHING`, call)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

func customerIn(ctx context.Context, tx *sql.Tx, id string) (Customer, error) {
	customer, _, err := scanCustomer(tx.QueryRowContext(ctx, customerByID, id))
	if errors.Is(err, sql.ErrNoRows) {
		return customer, server.NotFound()
	}
	return customer, err
}

// change writes fields of a customer and the webhook that tells of it. Nothing
// happens when nothing differs.
func (s *Server) change(ctx context.Context, tx *sql.Tx, before Customer, fields map[string]string, by string) (Customer, error) {
	after := before
	for name, value := range fields {
		*after.field(name) = value
	}
	if after == before {
		return before, nil
	}
	now := s.clock.Millis()
	after.Version, after.UpdatedAt, after.UpdatedBy = before.Version+1, story.Format(now), by
	_, err := tx.ExecContext(ctx, updateCustomer, after.Name, after.Email, after.Address, after.Phone,
		after.TaxNumber, after.PaymentTerms, after.Balance, now, by, after.ID)
	if err != nil {
		return before, err
	}
	return after, s.announce(ctx, tx, now, Event{Type: "customer.updated", ID: after.ID, Version: after.Version})
}

// field returns where c keeps the field of the given name, which must exist.
func (c *Customer) field(name string) *string {
	return map[string]*string{
		"name": &c.Name, "email": &c.Email, "address": &c.Address, "phone": &c.Phone,
		"tax_number": &c.TaxNumber, "payment_terms": &c.PaymentTerms, "balance": &c.Balance,
	}[name]
}

// Apply makes scripted actions happen, all in one transaction with their
// markers. It returns the actions that are done with.
func (s *Server) Apply(ctx context.Context, actions []story.Action) (done []int64, err error) {
	var placed, edits int64
	err = s.Tx(ctx, func(tx *sql.Tx) error {
		for _, a := range actions {
			switch {
			case a.Place != nil:
				placed++
				err = s.place(ctx, tx, a.Seq, *a.Place)
			case a.Ship != "":
				err = s.ship(ctx, tx, a.Ship)
			case a.Edit != nil:
				edits++
				err = s.edit(ctx, tx, a.Seq, *a.Edit)
			}
			if err == nil {
				err = server.MarkDone(ctx, tx, a.Seq)
			}
			if err != nil {
				return fmt.Errorf("action %d: %w", a.Seq, err)
			}
			done = append(done, a.Seq)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("apply to the store: %w", err)
	}
	s.Count(OrdersPlaced, placed)
	s.Count(Edits, edits)
	return done, nil
}

// place signs the customer up, if new, and stores the order.
func (s *Server) place(ctx context.Context, tx *sql.Tx, seq int64, o orders.Order) error {
	now, c := s.clock.Millis(), o.Customer()
	result, err := tx.ExecContext(ctx, insertCustomer, c.ID, c.Name, c.Email, c.Address, c.Phone, now, "shop")
	if err != nil {
		return err
	}
	signedUp, err := result.RowsAffected()
	if err != nil {
		return err
	}
	if signedUp == 1 {
		if err := s.signUp(ctx, tx, seq, now, c); err != nil {
			return err
		}
	}
	lines := make([]Line, len(o.Lines))
	for i, l := range o.Lines {
		lines[i] = Line{ProductID: l.ProductID, Name: l.Product, Quantity: l.Quantity, Amount: l.Amount.String()}
	}
	encoded, err := json.Marshal(lines)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, insertOrder, o.ID, c.ID, o.PlacedOn, orders.FormatCents(o.Cents()), string(encoded), now, "shop")
	if err != nil {
		return err
	}
	return s.announce(ctx, tx, now, Event{Type: "order.created", ID: o.ID, Version: 1})
}

// signUp tells of a new customer, and keeps what they typed for the auditor.
func (s *Server) signUp(ctx context.Context, tx *sql.Tx, seq, now int64, c orders.Customer) error {
	for field, value := range map[string]string{"name": c.Name, "email": c.Email, "address": c.Address, "phone": c.Phone} {
		err := server.SaveEdit(ctx, tx, server.Edit{Seq: seq, At: now, Person: server.SignUp, Record: c.ID, Field: field, Value: value})
		if err != nil {
			return err
		}
	}
	return s.announce(ctx, tx, now, Event{Type: "customer.created", ID: c.ID, Version: 1})
}

func (s *Server) ship(ctx context.Context, tx *sql.Tx, id string) error {
	now := s.clock.Millis()
	if _, err := tx.ExecContext(ctx, updateOrder, "shipped", now, "warehouse", id); err != nil {
		return err
	}
	return s.announce(ctx, tx, now, Event{Type: "order.updated", ID: id, Version: 2})
}

func (s *Server) edit(ctx context.Context, tx *sql.Tx, seq int64, e story.Edit) error {
	before, err := customerIn(ctx, tx, e.Customer)
	if err != nil {
		return err
	}
	if _, err := s.change(ctx, tx, before, map[string]string{e.Field: e.Value}, e.Person); err != nil {
		return err
	}
	return server.SaveEdit(ctx, tx, server.Edit{
		Seq: seq, At: s.clock.Millis(), Person: e.Person, Record: e.Customer,
		Field: e.Field, Was: *before.field(e.Field), Value: e.Value,
	})
}
