package webhook

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
)

// A Config sets up a Receiver.
type Config struct {
	// Source names where the webhooks come from. It keeps apart the delivery IDs
	// of different senders and becomes the message's Topic: "shop/orders".
	// Required.
	Source string
	// Verifier checks who sent it. Required.
	Verifier Verifier
	// Queue stores the deliveries. Required.
	Queue *outbox.Queue
	// Destination is the queue's destination that handles them. Required.
	Destination string
	// MaxBytes bounds a body. The queue's own bound (outbox Config.MaxBytes) holds
	// as well, headers included. Defaults to 1 MiB.
	MaxBytes int64
	// Observer is told of each delivery. Defaults to slog.Default for failures, and
	// nothing else.
	Observer dovetail.Observer
	// now is the time; nil for the real one.
	now func() time.Time
}

// A Receiver is the http.Handler of one source of webhooks. Make one with
// NewReceiver; the zero value is not usable. It is safe for concurrent use.
type Receiver struct {
	config   Config
	observer dovetail.Observer
	put      func(ctx context.Context, m outbox.Message) error
}

// defaultMaxBytes is the default of Config.MaxBytes.
const defaultMaxBytes = 1 << 20

// retryAfter is how many seconds a sender is asked to wait when we have trouble.
const retryAfter = "10"

// NewReceiver returns a receiver, or dovetail.Faults with everything that is wrong
// with c. It does no I/O and starts nothing.
func NewReceiver(c Config) (*Receiver, error) {
	faults := dovetail.Faults{Package: "webhook"}
	if c.Source == "" {
		faults.Add("WHK001", "Config.Source", "required", `a name for the sender: "shop/orders"`)
	}
	switch v := c.Verifier.(type) {
	case nil:
		faults.Add("WHK002", "Config.Verifier", "required: without it anybody could send anything", "webhook.Standard(secret), or GitHub, HubSpot, Intuit, Shopify, Stripe, Xero, HMAC")
	case Checker:
		if err := v.Check(); err != nil {
			if list, ok := errors.AsType[*dovetail.Faults](err); ok {
				faults.List = append(faults.List, list.List...)
			} else {
				faults.Add("WHK003", "Config.Verifier", err.Error(), "see the verifier's constructor")
			}
		}
	}
	if c.Queue == nil {
		faults.Add("WHK004", "Config.Queue", "required: what is not stored is lost", "outbox.New(outbox.Config{…})")
	}
	if c.Destination == "" {
		faults.Add("WHK005", "Config.Destination", "required", "the name of the queue's destination that handles these webhooks")
	}
	if c.MaxBytes < 0 {
		faults.Add("WHK006", "Config.MaxBytes", "negative", "leave it zero for 1 MiB")
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = defaultMaxBytes
	}
	if c.now == nil {
		c.now = time.Now
	}
	together := &group{queue: c.Queue}
	return &Receiver{config: c, observer: dovetail.ObserverOr(c.Observer), put: together.put}, nil
}

// ServeHTTP takes in one delivery: 405 for anything but POST, 413 for a body that
// is too large, 401 for what is not verified, 503 when it did not arrive whole or
// could not be stored, and 200 when it is stored, now or before.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	e := dovetail.Event{Name: "webhook.delivery", Time: time.Now(), Destination: r.config.Destination}
	ctx := r.observer.Start(req.Context(), e)
	status, outcome, err := r.receive(ctx, w, req)
	e.Duration, e.Outcome, e.Err, e.Class = time.Since(e.Time), outcome, err, dovetail.Classify(err)
	e.Why = r.config.Source
	r.observer.Record(ctx, e)
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(status)
}

// receive returns the status, what happened in a word, and why it failed.
func (r *Receiver) receive(ctx context.Context, w http.ResponseWriter, req *http.Request) (int, string, error) {
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return http.StatusMethodNotAllowed, "method", nil
	}
	if req.ContentLength > r.config.MaxBytes {
		return tooLarge()
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, r.config.MaxBytes))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return tooLarge()
		}
		// The sender broke off, or our server's own time limit did: not its fault.
		w.Header().Set("Retry-After", retryAfter)
		return http.StatusServiceUnavailable, "incomplete", dovetail.NewError(dovetail.Transient, "receive webhook", "the body did not arrive whole")
	}
	d, err := r.config.Verifier.Verify(req.Header, body, r.config.now())
	if err != nil {
		return http.StatusUnauthorized, "unverified", &dovetail.Error{Fault: dovetail.Auth, Op: "verify webhook", Code: "401", Err: err}
	}
	// A sender that hangs up after its few seconds has sent it all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	err = r.put(ctx, r.message(req.Header, d, body))
	if errors.Is(err, outbox.ErrTooLarge) {
		return tooLarge()
	}
	if err != nil {
		w.Header().Set("Retry-After", retryAfter)
		return http.StatusServiceUnavailable, "not-stored", &dovetail.Error{Fault: dovetail.Unavailable, Op: "store webhook", Err: err}
	}
	return http.StatusOK, "stored", nil
}

// storeTimeout bounds how long a delivery waits to be stored: most senders have
// given up by then.
const storeTimeout = 10 * time.Second

func tooLarge() (int, string, error) {
	return http.StatusRequestEntityTooLarge, "too-large", dovetail.NewError(dovetail.Invalid, "receive webhook", "larger than Config.MaxBytes of the receiver or the queue")
}
