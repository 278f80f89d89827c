package acctsim

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/tectari/dovetail/examples/storeaccounting/server"
	"github.com/tectari/dovetail/examples/storeaccounting/story"
)

// What API.md publishes, in story time.
const (
	Calls     = 500 // in any Window
	Window    = time.Minute
	AtOnce    = 5
	IndexLag  = 30 * time.Second
	KeyWindow = 10 * time.Minute
	slowFor   = 10 * time.Second
)

// Config says how an accounting system is set up.
type Config struct {
	Path  string       // its SQLite file. Required.
	Clock *story.Clock // Required.
	Seed  uint64       // decides the faults. Zero is a seed like any other.
	Tame  bool         // no lost replies, no 500s, no slow answers. Defaults to false.
}

// Counters, as Server.Counters names them.
const (
	Requests     = "requests"              // calls to the API, the rejected ones included
	Writes       = "api writes"            // calls that ask for a change, whatever came of them
	TooMany      = "429 answers"           // calls rejected for being over a limit
	Refused      = "503 answers"           // calls that came during the second part of the outage
	RepliesLost  = "replies lost"          // writes done whose answer was cut off
	BrokenAfter  = "500 answers"           // writes done and answered 500
	SlowAnswers  = "slow answers"          // calls that took 10 s longer
	KeysReplayed = "keys replayed"         // invoices answered from their idempotency key
	ContactsMade = "contacts made"         // by POST
	InvoicesMade = "invoices made"         // by POST
	Edits        = "edits"                 // what people did to contacts
	EditsDropped = "edits without contact" // scripted edits of contacts that never came
)

var errDecimal = errors.New("not a decimal number")

// Server is the accounting system. It may be used by many goroutines.
type Server struct {
	*server.Database
	clock *story.Clock
	seed  uint64
	tame  bool
	quota *quota
}

// Open opens the system's file, or begins a new one.
func Open(ctx context.Context, config Config) (*Server, error) {
	db, err := server.OpenDatabase(ctx, config.Path, schema)
	if err != nil {
		return nil, fmt.Errorf("open accounting: %w", err)
	}
	return &Server{
		Database: db, clock: config.Clock, seed: config.Seed, tame: config.Tame,
		quota: newQuota(Calls, Window, AtOnce),
	}, nil
}

// Handler returns the HTTP API. Export calls have no limits and no faults.
func (s *Server) Handler() http.Handler {
	api := http.NewServeMux()
	api.HandleFunc("POST /contacts", s.postContact)
	api.HandleFunc("GET /contacts", s.getContacts)
	api.HandleFunc("GET /contacts/changes", s.changedContacts)
	api.HandleFunc("GET /contacts/{id}", one(s, contactByID, "con-", scanContact, func(c Contact) int64 { return c.Version }))
	api.HandleFunc("PATCH /contacts/{id}", s.patchContact)
	api.HandleFunc("POST /invoices", s.postInvoice)
	api.HandleFunc("GET /invoices", s.getInvoices)
	api.HandleFunc("GET /invoices/{id}", one(s, invoiceByID, "inv-", scanInvoice, func(i Invoice) int64 { return i.Version }))

	mux := http.NewServeMux()
	mux.HandleFunc("GET /export/contacts", export(s, contactsAfter, scanContact))
	mux.HandleFunc("GET /export/invoices", export(s, invoicesAfter, scanInvoice))
	mux.HandleFunc("GET /export/edits", s.ServeEdits)
	mux.Handle("/", s.limited(api))
	return mux
}

// LastTouched returns the story time of the latest change, in milliseconds.
func (s *Server) LastTouched(ctx context.Context) (int64, error) {
	var at int64
	const query = `SELECT max((SELECT coalesce(max(updated_at), 0) FROM contacts), (SELECT coalesce(max(created_at), 0) FROM invoices))`
	err := s.QueryRowContext(ctx, query).Scan(&at)
	return at, err
}

// limited puts the quota and the outage before the API.
func (s *Server) limited(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Count(Requests, 1)
		if now := s.clock.Now(); now >= story.OutageFrom && now < story.OutageTo {
			s.Count(Refused, 1)
			server.WriteProblem(w, server.Problem{Status: http.StatusServiceUnavailable, Code: "down", Detail: "accounting is down"})
			return
		}
		ok, wait := s.quota.enter(s.clock.Millis())
		if !ok {
			s.tooMany(w, wait)
			return
		}
		defer s.quota.leave()
		if r.Method != http.MethodGet {
			s.Count(Writes, 1)
		}
		s.perhapsSlow(r)
		api.ServeHTTP(w, r)
	})
}

func (s *Server) tooMany(w http.ResponseWriter, wait int64) {
	s.Count(TooMany, 1)
	// The one number in wall time: HTTP clients take it literally.
	seconds := math.Ceil(s.clock.Wall(time.Duration(wait) * time.Millisecond).Seconds())
	w.Header().Set("Retry-After", strconv.Itoa(max(1, int(seconds))))
	server.WriteProblem(w, server.Problem{Status: http.StatusTooManyRequests, Code: "rate_limited",
		Detail: fmt.Sprintf("more than %d calls in %s or more than %d at once", Calls, Window, AtOnce)})
}

// perhapsSlow holds back one call in two hundred.
func (s *Server) perhapsSlow(r *http.Request) {
	if s.tame || server.Chance(s.seed, "slow", r.Method, r.URL.RequestURI(), r.Header.Get("Idempotency-Key"), r.Header.Get("If-Match")) >= 50 {
		return
	}
	s.Count(SlowAnswers, 1)
	timer := time.NewTimer(s.clock.Wall(slowFor))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	}
}

func one[R any](s *Server, query, prefix string, scan func(scanner) (R, int64, error), version func(R) int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		records, _, err := read(s, r, query, scan, rowOf(r.PathValue("id"), prefix))
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

// pages answers with the page of all records that follows the cursor.
func pages[R any](s *Server, w http.ResponseWriter, r *http.Request, query string, scan func(scanner) (R, int64, error), id func(R) string, prefix string) {
	after, limit, err := server.PageOf(r, "cursor")
	if err != nil {
		server.WriteError(w, err)
		return
	}
	records, _, err := read(s, r, query, scan, rowOf(after, prefix), limit)
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

// found answers with what the search index has for value.
func found[R any](s *Server, w http.ResponseWriter, r *http.Request, query string, scan func(scanner) (R, int64, error), value string) {
	records, _, err := read(s, r, query, scan, value, s.clock.Millis()-IndexLag.Milliseconds(), 100)
	if err != nil {
		server.WriteError(w, err)
		return
	}
	server.WriteJSON(w, http.StatusOK, Page[R]{Records: records})
}

func export[R any](s *Server, query string, scan func(scanner) (R, int64, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		records, _, err := read(s, r, query, scan, 0, noLimit)
		if err != nil {
			server.WriteError(w, err)
			return
		}
		server.WriteJSON(w, http.StatusOK, Page[R]{Records: records})
	}
}

func read[R any](s *Server, r *http.Request, query string, scan func(scanner) (R, int64, error), args ...any) ([]R, int64, error) {
	rows, err := s.QueryContext(context.WithoutCancel(r.Context()), query, args...)
	if err != nil {
		return nil, 0, err
	}
	return scanAll(rows, scan)
}
