// Package naive is the sync that everyone writes first, in an afternoon, and
// that passes its demo: a webhook handler that posts straight to accounting,
// find-then-create, three tries, last write wins, and a cursor in a variable.
// It is here to be run against the same world and audited.
//
// # Guarantees
//
// None. That is its point.
package naive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

const (
	tries     = 3
	backoff   = 5 * time.Second  // story time before the second try, twice that before the third
	pollEvery = 30 * time.Second // story time
)

// Config says what to keep in step.
type Config struct {
	StoreURL      string                            // Required.
	AccountingURL string                            // Required.
	Wall          func(time.Duration) time.Duration // how long a story duration takes. Required.
	Start         func(webhookURL string) error     // called once the webhook handler listens. Required.
}

// Stats is what the sync would have logged.
type Stats struct {
	Failed    int    // calls given up after three tries
	LastError string // the latest of them
}

// Sync keeps store and accounting in step, it hopes.
type Sync struct {
	config Config
	client *http.Client

	mu       sync.Mutex
	stats    Stats
	contacts map[string]string // contact by customer, so that orders need not search
}

// New returns a sync.
func New(config Config) *Sync {
	// Their page says five calls at once, so five connections it is.
	transport := &http.Transport{MaxConnsPerHost: 5, MaxIdleConnsPerHost: 5}
	return &Sync{
		config:   config,
		client:   &http.Client{Transport: transport, Timeout: 10 * time.Second},
		contacts: make(map[string]string),
	}
}

// Stats returns what was logged so far.
func (s *Sync) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Run serves webhooks and polls accounting until ctx is done.
func (s *Sync) Run(ctx context.Context) error {
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("naive sync: %w", err)
	}
	hooks := &http.Server{Handler: http.HandlerFunc(s.webhook), ReadHeaderTimeout: 10 * time.Second}
	var running sync.WaitGroup
	running.Go(func() {
		_ = hooks.Serve(socket) // always ErrServerClosed, from Close
	})
	defer s.client.CloseIdleConnections()
	defer running.Wait()
	defer hooks.Close()
	if err := s.config.Start("http://" + socket.Addr().String()); err != nil {
		return fmt.Errorf("naive sync: %w", err)
	}
	s.poll(ctx)
	return nil
}

// webhook does the work before it answers; an error makes the store try again.
func (s *Sync) webhook(w http.ResponseWriter, r *http.Request) {
	var event struct{ Type, ID string }
	if err := json.NewDecoder(r.Body).Decode(&event); err != nil {
		http.Error(w, "bad event", http.StatusBadRequest)
		return
	}
	var err error
	switch event.Type {
	case "customer.created", "customer.updated":
		_, err = s.pushCustomer(r.Context(), event.ID)
	case "order.created":
		err = s.pushOrder(r.Context(), event.ID)
	}
	if err != nil {
		s.log(err)
		http.Error(w, "failed", http.StatusInternalServerError)
	}
}

// record is any record of either system.
type record map[string]any

func (r record) get(field string) string {
	value, _ := r[field].(string)
	return value
}

// fields are kept the same on both sides: the last write wins.
var fields = []string{"name", "email", "address", "phone", "tax_number", "payment_terms", "balance"}

// pushCustomer brings a customer to accounting and returns the contact's ID.
func (s *Sync) pushCustomer(ctx context.Context, id string) (string, error) {
	var customer record
	if err := s.call(ctx, http.MethodGet, s.config.StoreURL+"/customers/"+url.PathEscape(id), nil, &customer); err != nil {
		return "", err
	}
	contact, err := s.findContact(ctx, id)
	if err != nil {
		return "", err
	}
	if contact == nil {
		fresh := record{"reference": id}
		for _, f := range []string{"name", "email", "address", "phone"} {
			fresh[f] = customer.get(f)
		}
		var created record
		err := s.call(ctx, http.MethodPost, s.config.AccountingURL+"/contacts", fresh, &created)
		return created.get("id"), err
	}
	if changed := difference(customer, contact); len(changed) > 0 {
		err = s.call(ctx, http.MethodPatch, s.config.AccountingURL+"/contacts/"+contact.get("id"), changed, nil)
	}
	return contact.get("id"), err
}

// pushOrder brings an order to accounting, unless its invoice is there.
func (s *Sync) pushOrder(ctx context.Context, id string) error {
	var order record
	if err := s.call(ctx, http.MethodGet, s.config.StoreURL+"/orders/"+url.PathEscape(id), nil, &order); err != nil {
		return err
	}
	var found struct{ Records []record }
	if err := s.call(ctx, http.MethodGet, s.config.AccountingURL+"/invoices?number="+url.QueryEscape(id), nil, &found); err != nil {
		return err
	}
	if len(found.Records) > 0 {
		return nil
	}
	contact, err := s.contactOf(ctx, order.get("customer_id"))
	if err != nil {
		return err
	}
	return s.call(ctx, http.MethodPost, s.config.AccountingURL+"/invoices", record{
		"number": id, "contact_id": contact, "date": order.get("placed_on"), "total": order.get("total"),
	}, nil)
}

// contactOf returns the contact of a customer, and makes it if need be.
func (s *Sync) contactOf(ctx context.Context, customer string) (string, error) {
	s.mu.Lock()
	id := s.contacts[customer]
	s.mu.Unlock()
	if id != "" {
		return id, nil
	}
	id, err := s.pushCustomer(ctx, customer)
	if err == nil {
		s.mu.Lock()
		s.contacts[customer] = id
		s.mu.Unlock()
	}
	return id, err
}

func (s *Sync) findContact(ctx context.Context, reference string) (record, error) {
	var found struct{ Records []record }
	err := s.call(ctx, http.MethodGet, s.config.AccountingURL+"/contacts?reference="+url.QueryEscape(reference), nil, &found)
	if err != nil || len(found.Records) == 0 {
		return nil, err
	}
	return found.Records[0], nil
}

// poll brings what changed in accounting to the store.
func (s *Sync) poll(ctx context.Context) {
	ticker := time.NewTicker(s.config.Wall(pollEvery))
	defer ticker.Stop()
	since := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for more := true; more; {
			var page struct {
				Records []record
				Next    string
				More    bool
			}
			if err := s.call(ctx, http.MethodGet, s.config.AccountingURL+"/contacts/changes?since="+since, nil, &page); err != nil {
				s.log(err)
				break
			}
			for _, contact := range page.Records {
				if err := s.pullContact(ctx, contact); err != nil {
					s.log(err)
				}
			}
			since, more = page.Next, page.More
		}
	}
}

func (s *Sync) pullContact(ctx context.Context, contact record) error {
	customerURL := s.config.StoreURL + "/customers/" + url.PathEscape(contact.get("reference"))
	var customer record
	if err := s.call(ctx, http.MethodGet, customerURL, nil, &customer); err != nil {
		return err
	}
	changed := difference(contact, customer)
	if len(changed) == 0 {
		return nil
	}
	return s.call(ctx, http.MethodPatch, customerURL, changed, nil)
}

// difference returns the fields that to lacks, as from has them. What from
// does not know is left alone.
func difference(from, to record) record {
	changed := record{}
	for _, f := range fields {
		if value := from.get(f); value != "" && value != to.get(f) {
			changed[f] = value
		}
	}
	return changed
}

// call makes one call, up to three times.
func (s *Sync) call(ctx context.Context, method, address string, body, into any) error {
	payload, err := json.Marshal(body)
	if err != nil {
		return err
	}
	var failed error
	for try := range tries {
		var again bool
		var after time.Duration
		if again, after, failed = s.once(ctx, method, address, payload, into); failed == nil || !again {
			break
		}
		if after == 0 {
			after = s.config.Wall(backoff * time.Duration(try+1))
		}
		if try == tries-1 {
			break
		}
		if err := wait(ctx, after); err != nil {
			return errors.Join(failed, err)
		}
	}
	return failed
}

// once makes one call. It says whether another may help, and after how long if
// the server said so.
func (s *Sync) once(ctx context.Context, method, address string, payload []byte, into any) (again bool, after time.Duration, err error) {
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(payload))
	if err != nil {
		return false, 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := s.client.Do(request)
	if err != nil {
		return true, 0, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return true, 0, err
	}
	if response.StatusCode/100 != 2 {
		again = response.StatusCode >= 500 || response.StatusCode == http.StatusTooManyRequests
		seconds, _ := strconv.Atoi(response.Header.Get("Retry-After")) // 0 when it does not say
		return again, time.Duration(seconds) * time.Second, fmt.Errorf("%s %s: %s", method, address, response.Status)
	}
	if into == nil {
		return false, 0, nil
	}
	return false, 0, json.Unmarshal(answer, into)
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func (s *Sync) log(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Failed++
	s.stats.LastError = err.Error()
}
