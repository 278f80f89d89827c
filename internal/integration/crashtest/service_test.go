package crashtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"
)

// service is a business system behind HTTP, in memory: it survives whatever the
// program under test goes through. It takes conditional writes; a collection
// honours idempotency keys or can be searched, with a lag.
type service struct {
	name string
	mux  *http.ServeMux

	mu          sync.Mutex
	collections map[string]*collection
	writes      int // by the API
}

type collection struct {
	keyed bool          // honours Idempotency-Key
	lag   time.Duration // before a search finds what was created
	docs  map[string]*doc
	made  map[string]string // idempotency key → ID
	log   []string          // IDs in the order of change
}

type doc struct {
	ID      string            `json:"id"`
	Version int               `json:"version"`
	At      time.Time         `json:"at"`
	By      string            `json:"by"`
	Record  map[string]string `json:"record"`
	made    time.Time
}

type feed struct {
	Next    int   `json:"next"`
	Records []doc `json:"records"`
}

func newService(name string, collections map[string]*collection) *service {
	s := &service{name: name, mux: http.NewServeMux(), collections: collections}
	for path, c := range collections {
		c.docs, c.made = make(map[string]*doc), make(map[string]string)
		s.mux.HandleFunc("GET /"+path, s.locked(func(w http.ResponseWriter, r *http.Request) { s.list(w, r, c) }))
		s.mux.HandleFunc("GET /"+path+"/{id}", s.locked(func(w http.ResponseWriter, r *http.Request) { s.get(w, r, c) }))
		s.mux.HandleFunc("POST /"+path, s.locked(func(w http.ResponseWriter, r *http.Request) { s.create(w, r, path, c) }))
		s.mux.HandleFunc("PATCH /"+path+"/{id}", s.locked(func(w http.ResponseWriter, r *http.Request) { s.patch(w, r, c) }))
	}
	return s
}

func (s *service) locked(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		h(w, r)
	}
}

// RoundTrip serves a request without a network.
func (s *service) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	rec := httptest.NewRecorder()
	s.mux.ServeHTTP(rec, r)
	return rec.Result(), nil
}

func answer(w http.ResponseWriter, status int, v any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that is gone needs no answer
}

func (s *service) get(w http.ResponseWriter, r *http.Request, c *collection) {
	d, ok := c.docs[r.PathValue("id")]
	if !ok {
		answer(w, http.StatusNotFound, "no such record")
		return
	}
	answer(w, http.StatusOK, d)
}

// list answers a search (?email=) or tells what changed (?since=).
func (s *service) list(w http.ResponseWriter, r *http.Request, c *collection) {
	f := feed{Next: len(c.log), Records: []doc{}}
	if email := r.URL.Query().Get("email"); email != "" {
		for _, d := range c.docs {
			if d.Record["email"] == email && time.Since(d.made) >= c.lag {
				f.Records = append(f.Records, *d)
			}
		}
		answer(w, http.StatusOK, f)
		return
	}
	since, _ := strconv.Atoi(r.URL.Query().Get("since")) // empty: from the beginning
	seen := make(map[string]bool)
	for _, id := range c.log[min(since, len(c.log)):] {
		if !seen[id] {
			seen[id] = true
			f.Records = append(f.Records, *c.docs[id])
		}
	}
	answer(w, http.StatusOK, f)
}

func (s *service) create(w http.ResponseWriter, r *http.Request, path string, c *collection) {
	var record map[string]string
	if err := json.NewDecoder(r.Body).Decode(&record); err != nil {
		answer(w, http.StatusBadRequest, err.Error())
		return
	}
	key := r.Header.Get("Idempotency-Key")
	if id, ok := c.made[key]; ok && c.keyed {
		answer(w, http.StatusOK, c.docs[id])
		return
	}
	s.writes++
	d := s.put(c, path, record, "api")
	if c.keyed {
		c.made[key] = d.ID
	}
	answer(w, http.StatusCreated, d)
}

func (s *service) put(c *collection, path string, record map[string]string, by string) *doc {
	d := &doc{ID: fmt.Sprintf("%s-%s-%d", s.name, strings.TrimSuffix(path, "s"), len(c.docs)+1), Record: record, made: time.Now()}
	c.docs[d.ID] = d
	touch(c, d, by)
	return d
}

func touch(c *collection, d *doc, by string) {
	d.Version++
	d.At, d.By = time.Now(), by
	c.log = append(c.log, d.ID)
}

func (s *service) patch(w http.ResponseWriter, r *http.Request, c *collection) {
	d, ok := c.docs[r.PathValue("id")]
	if !ok {
		answer(w, http.StatusNotFound, "no such record")
		return
	}
	if v := r.Header.Get("If-Match"); v != "" && v != strconv.Itoa(d.Version) {
		answer(w, http.StatusPreconditionFailed, "the version moved")
		return
	}
	var record map[string]string
	if err := json.NewDecoder(r.Body).Decode(&record); err != nil {
		answer(w, http.StatusBadRequest, err.Error())
		return
	}
	s.writes++
	next := maps.Clone(d.Record)
	maps.Copy(next, record)
	d.Record = next
	touch(c, d, "api")
	answer(w, http.StatusOK, d)
}

// add is a person making a record.
func (s *service) add(path string, record map[string]string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.put(s.collections[path], path, record, "person").ID
}

// edit is a person changing one field of every record in which another field has
// a value. It does nothing where there is none yet.
func (s *service) edit(path, where, is, field, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.collections[path]
	for _, d := range c.docs {
		if d.Record[where] != is {
			continue
		}
		next := maps.Clone(d.Record)
		next[field] = value
		d.Record = next
		touch(c, d, "person")
	}
}

// all returns the records, with their IDs in the field "id".
func (s *service) all(path string) []map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []map[string]string
	for id, d := range s.collections[path].docs {
		r := maps.Clone(d.Record)
		r["id"] = id
		all = append(all, r)
	}
	return all
}

// changes counts what happened, by whomever.
func (s *service) changes() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.collections {
		n += len(c.log)
	}
	return n
}

func (s *service) written() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}
