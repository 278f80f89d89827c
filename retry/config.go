package retry

import (
	"fmt"
	"net/http"
	"net/textproto"
	"time"

	"golang.org/x/time/rate"

	"github.com/tectari/dovetail"
)

// Config describes one API and how to treat it. The zero value is refused: it
// has no System.
type Config struct {
	// System is the party behind the API; errors and events name it. Required.
	System dovetail.System
	// Rate smooths requests to so many per second, with bursts of up to Burst.
	// It is no substitute for a window quota, of which it may use nearly twice.
	// Defaults to no smoothing.
	Rate rate.Limit
	// Burst is how many requests may go at once under Rate. Defaults to 1.
	Burst int
	// Quotas are the limits that the API publishes. A request goes when all of
	// them have room, and takes from all of them at once. Defaults to none.
	Quotas []Quota
	// Attempts is how often one request is sent at most. Defaults to 4.
	Attempts int
	// Backoff is the wait before a request is sent again, where the API names
	// none. Defaults to full jitter over 500 ms, doubling, up to 30 s.
	Backoff Backoff
	// AttemptTimeout is how long one attempt may take until the header of its
	// answer is here, and then each Read of the body. Below zero: as long as
	// the context allows. Defaults to 30 s.
	AttemptTimeout time.Duration
	// MaxInlineWait is how long one call may wait in all, for quotas, back-off
	// and a system that is down, before it is handed back with the time to come
	// again. Below zero: it never waits. Defaults to 30 s.
	MaxInlineWait time.Duration
	// Budget bounds retries as a share of the calls. Defaults to a fifth, and
	// one a second.
	Budget Budget
	// Breaker says when the API counts as down. Defaults to 5 failures in a
	// row, or half of at least 20 in 30 s.
	Breaker Breaker
	// IdempotencyHeader is the header that this API honours as an idempotency
	// key. A request that carries it is sent again with the same key. The key is
	// the caller's; none is ever added. Defaults to "": the API honours none,
	// and a POST is sent again only if it is proven unsent.
	IdempotencyHeader string
	// Unprocessed are further statuses by which this API says that the request
	// was not processed, such as 503 where its documentation says so. Defaults
	// to none; 408, 421, 425 and 429 always mean it.
	Unprocessed []int
	// Base sends the requests. Defaults to a clone of http.DefaultTransport.
	Base http.RoundTripper
	// Observer is told of each attempt, of throttling and of the breaker.
	// Defaults to slog.Default for attempts that failed and were repeated, and
	// for the breaker.
	Observer dovetail.Observer
}

// Backoff is U[0, min(Cap, Base·2ⁿ)], the wait before attempt n+2. The zero
// value means the defaults.
type Backoff struct {
	// Base is the longest first wait. Defaults to 500 ms.
	Base time.Duration
	// Cap bounds all waits. Defaults to 30 s.
	Cap time.Duration
}

// Budget bounds how many retries a Transport makes, so that they do not multiply
// the load of a system in trouble. A wait that the API asked for costs nothing.
// The zero value means the defaults.
type Budget struct {
	// Ratio is how many retries each call pays in. Below zero: no budget.
	// Defaults to 0.2.
	Ratio float64
	// PerSecond is how many retries are always added each second. Defaults to 1.
	PerSecond float64
}

// Breaker says when the API counts as down. While it does, calls wait or are
// handed back as Unavailable, and one request at a time finds out. The zero value
// means the defaults.
type Breaker struct {
	// InARow failures open it. Below zero: there is no breaker. Defaults to 5.
	InARow int
	// Share of failures within 30 s opens it, once there were AtLeast requests.
	// Defaults to 0.5.
	Share float64
	// AtLeast is how many requests Share needs. Defaults to 20.
	AtLeast int
	// Open is how long it first stays open; it doubles each time, with jitter,
	// up to OpenCap. Defaults to 1 s.
	Open time.Duration
	// OpenCap bounds Open. Defaults to 30 s.
	OpenCap time.Duration
}

// A Quota is one limit that an API publishes: a Window or a Concurrency.
type Quota interface {
	quota() string // what is wrong with it, empty if nothing
}

// A Window allows Limit requests in any span of Per, which covers windows that
// slide and windows that start at fixed times. A slot is free again Per after the
// answer to the request that used it was received: whenever the API counted that
// request, it was no later.
type Window struct {
	// Limit is how many requests. Required.
	Limit int
	// Per is the length of the window, at least a millisecond. Required.
	Per time.Duration
}

// Concurrency allows Max requests at the same time. A request ends when its body
// is read to the end or closed.
type Concurrency struct {
	// Max is how many requests. Required.
	Max int
}

func (w Window) quota() string {
	if w.Limit <= 0 || w.Per < time.Millisecond {
		return fmt.Sprintf("Window{Limit: %d, Per: %s} allows nothing", w.Limit, w.Per)
	}
	return ""
}

func (c Concurrency) quota() string {
	if c.Max <= 0 {
		return fmt.Sprintf("Concurrency{Max: %d} allows nothing", c.Max)
	}
	return ""
}

// check returns every fault of c at once.
func (c Config) check() error {
	fs := &dovetail.Faults{Package: "retry"}
	if c.System == "" {
		fs.Add("RTY001", "Config.System", "required", `name the party behind the API: System: "billing"`)
	}
	for i, q := range c.Quotas {
		where := fmt.Sprintf("Config.Quotas[%d]", i)
		if q == nil {
			fs.Add("RTY002", where, "is nil", "write retry.Window{Limit: 60, Per: time.Minute} or leave it out")
		} else if text := q.quota(); text != "" {
			fs.Add("RTY002", where, text, "write the limit that the API documents, such as retry.Window{Limit: 60, Per: time.Minute}")
		}
	}
	if c.Rate < 0 || c.Burst < 0 || (c.Rate == 0 && c.Burst > 0) {
		fs.Add("RTY003", "Config.Rate", "Rate and Burst allow nothing", "set Rate above zero, or neither")
	}
	if c.Attempts < 0 {
		fs.Add("RTY004", "Config.Attempts", "is below zero", "write 1 to send each request once")
	}
	if c.Backoff.Base < 0 || c.Backoff.Cap < 0 || c.Breaker.Open < 0 || c.Breaker.OpenCap < 0 || c.Budget.PerSecond < 0 ||
		c.Breaker.AtLeast < 0 || c.Breaker.Share < 0 || c.Breaker.Share > 1 {
		fs.Add("RTY005", "Config", "Backoff, Breaker or Budget has a value below zero or a share above one", "leave it zero for the default")
	}
	for _, status := range c.Unprocessed {
		if status < 400 || status > 599 {
			fs.Add("RTY006", "Config.Unprocessed", fmt.Sprintf("%d is not a status of a failure", status), "name statuses from 400 to 599")
		}
	}
	return fs.Err()
}

func (c Config) withDefaults() Config {
	def(&c.Burst, 1)
	def(&c.Attempts, 4)
	def(&c.Backoff.Base, 500*time.Millisecond)
	def(&c.Backoff.Cap, 30*time.Second)
	def(&c.AttemptTimeout, 30*time.Second)
	def(&c.MaxInlineWait, 30*time.Second)
	def(&c.Budget.Ratio, 0.2)
	def(&c.Budget.PerSecond, 1)
	def(&c.Breaker.InARow, 5)
	def(&c.Breaker.Share, 0.5)
	def(&c.Breaker.AtLeast, 20)
	def(&c.Breaker.Open, time.Second)
	def(&c.Breaker.OpenCap, 30*time.Second)
	c.MaxInlineWait = max(0, c.MaxInlineWait)
	c.IdempotencyHeader = textproto.CanonicalMIMEHeaderKey(c.IdempotencyHeader)
	if c.Base == nil {
		c.Base = http.DefaultTransport
		if tr, ok := c.Base.(*http.Transport); ok {
			c.Base = tr.Clone() // a pool of its own
		}
	}
	return c
}

func def[V comparable](v *V, to V) {
	var zero V
	if *v == zero {
		*v = to
	}
}
