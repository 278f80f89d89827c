package outbox

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/tectari/dovetail"
)

// An Order says what order a destination needs. The zero value is PerKey.
type Order uint8

// The orders.
const (
	// PerKey: messages of one key in order and one at a time. The default.
	PerKey Order = iota
	// Unordered: any order.
	Unordered
	// Serial: all messages of the destination in order and one at a time.
	Serial
)

// A Poison policy says what happens to a key whose message cannot be delivered.
// The zero value is BlockKey.
type Poison uint8

// The policies.
const (
	// BlockKey: later messages of the key wait until a person has replayed or
	// discarded the dead letter. The default.
	BlockKey Poison = iota
	// SkipToDead: later messages of the key go on without it.
	SkipToDead
	// LatestWins: a message stands for the whole state of its key, so a newer one
	// replaces all older ones that were not delivered.
	LatestWins
)

// A Backoff says how long a message waits between attempts: a random time (full
// jitter) of at most Base, doubled with each attempt up to Cap. The zero value
// stands for 1 second and 5 minutes.
type Backoff struct {
	// Base is the longest first wait. Defaults to 1 second.
	Base time.Duration
	// Cap is the longest wait. Defaults to 5 minutes.
	Cap time.Duration
}

// wait returns how long to wait after the attempt-th failure.
func (b Backoff) wait(attempt int) time.Duration {
	longest := b.Cap
	if shift := attempt - 1; shift < 40 && b.Base<<shift < b.Cap && b.Base<<shift > 0 {
		longest = b.Base << shift
	}
	return 1 + rand.N(longest)
}

// A Destination is where messages go, and how.
type Destination struct {
	// Name is what Message.To says. Required.
	Name string
	// System is the system behind it, for events and alerts. Defaults to Name.
	System dovetail.System
	// Handler delivers the messages, one in a call. A process that only enqueues
	// leaves it and Batch nil: its relay does not take on the destination.
	Handler Handler
	// Batch delivers several messages in one call, in place of Handler. Defaults
	// to none.
	Batch BatchHandler
	// BatchSize is how many messages a call of Batch holds at most; it holds what
	// is there, and nothing waits for it to fill. Defaults to 100.
	BatchSize int
	// AllowSameKey lets a batch hold several messages of one key, in order. That is
	// for a Batch that takes all of a batch or nothing, or that does not deliver
	// what comes behind a failed message of its key: those are delivered again,
	// whatever was answered for them. It makes a long queue of one key fast.
	// Defaults to one message of a key in a batch.
	AllowSameKey bool
	// Order says what order is kept. Defaults to PerKey.
	Order Order
	// Poison says what happens behind a message that cannot be delivered.
	// Defaults to BlockKey.
	Poison Poison
	// Concurrency is how many calls of the handler one relay makes at once.
	// Defaults to 8; 1 where Order is Serial.
	Concurrency int
	// AdaptConcurrency finds out how many calls at once the system is at ease with,
	// between 1 and Concurrency: more with each good answer, half after RateLimited
	// or Transient, fewer when answers take long. Defaults to Concurrency at once.
	AdaptConcurrency bool
	// Rate is how many messages a second go out at most, from all relays together:
	// each has the part of it that it has of the shards. Every attempt counts,
	// probes too, and nothing holds a worker while it waits. Defaults to no limit.
	Rate float64
	// Burst is how many messages may go out at once after a quiet time. Defaults to
	// what Rate gives in a tenth of a second, at least 1.
	Burst int
	// Attempts is how often a message is tried before it is a dead letter.
	// Defaults to 15.
	Attempts int
	// Backoff says how long a message waits between attempts. Defaults to 1
	// second, doubling up to 5 minutes.
	Backoff Backoff
	// Timeout bounds one delivery. Defaults to 30 seconds.
	Timeout time.Duration
	// StuckAfter is how old a waiting message may become before a person is told.
	// Defaults to 10 minutes.
	StuckAfter time.Duration
	// ProbeEvery is how often one message is tried while the destination is down.
	// Defaults to 2 seconds.
	ProbeEvery time.Duration
	// Buffer is how many messages of the destination a relay holds in memory at
	// most, give or take one page. Defaults to 2048.
	Buffer int
}

// withDefaults returns d with its zero fields filled in.
func (d Destination) withDefaults() Destination {
	def := func(v *int, n int) {
		if *v == 0 {
			*v = n
		}
	}
	long := func(v *time.Duration, n time.Duration) {
		if *v == 0 {
			*v = n
		}
	}
	if d.System == "" {
		d.System = dovetail.System(d.Name)
	}
	if d.Order == Serial {
		def(&d.Concurrency, 1)
	}
	def(&d.Concurrency, 8)
	if d.Batch != nil {
		def(&d.BatchSize, 100)
	} else {
		d.BatchSize = 1
	}
	def(&d.Burst, max(1, int(min(d.Rate/10, math.MaxInt32))))
	def(&d.Attempts, 15)
	def(&d.Buffer, 2048)
	long(&d.Backoff.Base, time.Second)
	long(&d.Backoff.Cap, max(5*time.Minute, d.Backoff.Base))
	long(&d.Timeout, 30*time.Second)
	long(&d.StuckAfter, 10*time.Minute)
	long(&d.ProbeEvery, 2*time.Second)
	return d
}

// faults adds what is wrong with d (before defaults) to fs.
func (d Destination) faults(fs *dovetail.Faults, where string) {
	bad := func(code, field, text, fix string) { fs.Add(code, where+"."+field, text, fix) }
	if d.Name == "" {
		bad("OUT003", "Name", "required", `name it as Message.To will: "accounting"`)
	}
	if len(d.Name) > maxText {
		bad("OUT003", "Name", "too long", fmt.Sprintf("at most %d bytes", maxText))
	}
	if d.Order > Serial {
		bad("OUT005", "Order", "unknown", "PerKey, Unordered or Serial")
	}
	if d.Poison > LatestWins {
		bad("OUT006", "Poison", "unknown", "BlockKey, SkipToDead or LatestWins")
	}
	if d.Poison == LatestWins && d.Order != PerKey {
		bad("OUT007", "Poison", "LatestWins replaces older messages of one key, so it needs them kept apart by key", "Order: outbox.PerKey")
	}
	if d.Order == Serial && d.Concurrency > 1 {
		bad("OUT008", "Concurrency", "a Serial destination delivers one message at a time", "leave it zero")
	}
	d.batchFaults(bad)
	if d.Rate < 0 || math.IsNaN(d.Rate) || math.IsInf(d.Rate, 0) {
		bad("OUT017", "Rate", "negative, or not a number", "messages per second, like 2.5; zero for no limit")
	}
	if d.Burst > 0 && d.Rate == 0 {
		bad("OUT018", "Burst", "without a Rate it says nothing", "set Rate, or leave it zero")
	}
	for _, n := range [...]struct {
		field string
		value int64
	}{
		{"Concurrency", int64(d.Concurrency)},
		{"BatchSize", int64(d.BatchSize)},
		{"Burst", int64(d.Burst)},
		{"Attempts", int64(d.Attempts)},
		{"Buffer", int64(d.Buffer)},
		{"Backoff.Base", int64(d.Backoff.Base)},
		{"Backoff.Cap", int64(d.Backoff.Cap)},
		{"Timeout", int64(d.Timeout)},
		{"StuckAfter", int64(d.StuckAfter)},
		{"ProbeEvery", int64(d.ProbeEvery)},
	} {
		if n.value < 0 {
			bad("OUT009", n.field, "negative", "leave it zero for the default")
		}
	}
	if d.Backoff.Cap > 0 && d.Backoff.Cap < d.Backoff.Base {
		bad("OUT010", "Backoff.Cap", "shorter than Backoff.Base", "make it longer, or leave it zero")
	}
}

// batchFaults tells bad what is wrong with how d handles batches.
func (d Destination) batchFaults(bad func(code, field, text, fix string)) {
	if d.Batch == nil {
		if d.BatchSize > 0 || d.AllowSameKey {
			bad("OUT014", "Batch", "required where BatchSize or AllowSameKey is set", "set Batch, or leave both zero")
		}
		return
	}
	if d.Handler != nil {
		bad("OUT015", "Batch", "a destination has a Handler or a Batch, not both", "leave one of them nil")
	}
	if d.Order == Serial && !d.AllowSameKey {
		bad("OUT016", "Batch", "the messages of a Serial destination follow each other, so each batch would hold one",
			"AllowSameKey: true if Batch takes all or nothing, or use a Handler")
	}
}

// served reports whether this process delivers to d.
func (d Destination) served() bool { return d.Handler != nil || d.Batch != nil }

// lane returns the name of what m keeps its order in, "" for none.
func (d Destination) lane(m Message) string {
	switch d.Order {
	case Unordered:
		return ""
	case Serial:
		return "serial"
	default:
		return m.Key
	}
}
