package storesim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/tectari/dovetail/examples/storeaccounting/server"
	"github.com/tectari/dovetail/examples/storeaccounting/story"
)

// Config says how a store is set up.
type Config struct {
	Path   string       // its SQLite file. Required.
	Clock  *story.Clock // Required.
	Seed   uint64       // decides the faults. Zero is a seed like any other.
	Secret string       // signs webhooks, "whsec_" and base64. Required to send any.
}

// Counters, as Server.Counters names them.
const (
	Writes          = "api writes"        // calls that ask for a change, whatever came of them
	RepliesLost     = "replies lost"      // writes done whose answer was cut off
	WebhooksFired   = "webhooks fired"    // deliveries that were answered 2xx
	WebhooksTwice   = "webhooks twice"    // those among them that told the same again
	WebhooksLost    = "webhooks lost"     // events that were never sent
	WebhooksRetried = "webhooks retried"  // attempts that were not answered 2xx
	WebhooksGivenUp = "webhooks given up" // deliveries dropped after 10 minutes of that
	Edits           = "edits"             // what people did to customers
	OrdersPlaced    = "orders placed"
)

// Server is the store. It may be used by many goroutines.
type Server struct {
	*server.Database
	clock  *story.Clock
	seed   uint64
	secret []byte
}

// Open opens the store's file, or begins a new one.
func Open(ctx context.Context, config Config) (*Server, error) {
	secret, err := parseSecret(config.Secret)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	db, err := server.OpenDatabase(ctx, config.Path, schema)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return &Server{Database: db, clock: config.Clock, seed: config.Seed, secret: secret}, nil
}

// Handler returns the store's HTTP API.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /customers", listing(s, customersAfter, scanCustomer, func(c Customer) string { return c.ID }))
	mux.HandleFunc("GET /customers/changes", feed(s, customersChanged, scanCustomer))
	mux.HandleFunc("GET /customers/{id}", one(s, customerByID, scanCustomer, func(c Customer) int64 { return c.Version }))
	mux.HandleFunc("PATCH /customers/{id}", s.patchCustomer)
	mux.HandleFunc("GET /orders", listing(s, ordersAfter, scanOrder, func(o Order) string { return o.ID }))
	mux.HandleFunc("GET /orders/changes", feed(s, ordersChanged, scanOrder))
	mux.HandleFunc("GET /orders/{id}", one(s, orderByID, scanOrder, func(o Order) int64 { return o.Version }))
	mux.HandleFunc("GET /export/customers", export(s, customersAfter, scanCustomer))
	mux.HandleFunc("GET /export/orders", export(s, ordersAfter, scanOrder))
	mux.HandleFunc("GET /export/edits", s.ServeEdits)
	return mux
}

// LastTouched returns the story time of the latest change, in milliseconds.
func (s *Server) LastTouched(ctx context.Context) (int64, error) {
	var at int64
	const query = `SELECT max((SELECT coalesce(max(updated_at), 0) FROM customers), (SELECT coalesce(max(updated_at), 0) FROM orders))`
	err := s.QueryRowContext(ctx, query).Scan(&at)
	return at, err
}

func one[R any](s *Server, query string, scan func(scanner) (R, int64, error), version func(R) int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		rows, err := s.QueryContext(context.WithoutCancel(r.Context()), query, r.PathValue("id"))
		if err != nil {
			server.WriteError(w, err)
			return
		}
		records, _, err := scanAll(rows, scan)
		switch {
		case err != nil:
			server.WriteError(w, err)
		case len(records) == 0:
			server.WriteProblem(w, server.NotFound())
		default:
			server.ETag(w, version(records[0]))
			server.WriteJSON(w, http.StatusOK, records[0])
		}
	}
}

func listing[R any](s *Server, query string, scan func(scanner) (R, int64, error), id func(R) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		after, limit, err := server.PageOf(r, "cursor")
		if err != nil {
			server.WriteError(w, err)
			return
		}
		rows, err := s.QueryContext(context.WithoutCancel(r.Context()), query, after, limit)
		if err != nil {
			server.WriteError(w, err)
			return
		}
		records, _, err := scanAll(rows, scan)
		if err != nil {
			server.WriteError(w, err)
			return
		}
		page := Page[R]{Records: records, More: len(records) == limit}
		if page.More {
			page.Next = server.Cursor(id(records[limit-1]))
		}
		server.WriteJSON(w, http.StatusOK, page)
	}
}

func feed[R any](s *Server, query string, scan func(scanner) (R, int64, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		since, limit, err := server.SinceOf(r)
		if err != nil {
			server.WriteError(w, err)
			return
		}
		rows, err := s.QueryContext(context.WithoutCancel(r.Context()), query, since, limit)
		if err != nil {
			server.WriteError(w, err)
			return
		}
		records, last, err := scanAll(rows, scan)
		if err != nil {
			server.WriteError(w, err)
			return
		}
		next := server.Cursor(strconv.FormatInt(max(since, last), 10))
		server.WriteJSON(w, http.StatusOK, Page[R]{Records: records, Next: next, More: len(records) == limit})
	}
}

func export[R any](s *Server, query string, scan func(scanner) (R, int64, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		rows, err := s.QueryContext(context.WithoutCancel(r.Context()), query, "", noLimit)
		if err != nil {
			server.WriteError(w, err)
			return
		}
		records, _, err := scanAll(rows, scan)
		if err != nil {
			server.WriteError(w, err)
			return
		}
		server.WriteJSON(w, http.StatusOK, Page[R]{Records: records})
	}
}

// patchCustomer is PATCH /customers/{id}.
func (s *Server) patchCustomer(w http.ResponseWriter, r *http.Request) {
	s.Count(Writes, 1)
	body, err := server.ReadBody(w, r)
	if err != nil {
		server.WriteError(w, err)
		return
	}
	fields, err := server.ParseFields(body, "name", "email", "address", "phone", "tax_number", "payment_terms", "balance")
	if err != nil {
		server.WriteError(w, err)
		return
	}
	// The caller may hang up; what was begun is finished.
	ctx := context.WithoutCancel(r.Context())
	customer, lost, err := s.patch(ctx, r, string(body), fields)
	if err != nil {
		server.WriteError(w, err)
		return
	}
	if lost {
		s.Count(RepliesLost, 1)
		panic(http.ErrAbortHandler) // cuts the connection
	}
	server.ETag(w, customer.Version)
	server.WriteJSON(w, http.StatusOK, customer)
}

func encodeEvent(e Event) (string, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return "", fmt.Errorf("encode event: %w", err)
	}
	return string(body), nil
}

var errNoSecret = errors.New("webhook secret is not whsec_<base64>")
