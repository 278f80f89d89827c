package outbox

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
)

// A Config sets up a Queue.
type Config struct {
	// Store keeps the messages. Required.
	Store Store
	// Destinations are where messages go. More can be added with Add until Run.
	// Defaults to none.
	Destinations []Destination
	// Alerts is who is told of what is stuck, down, dead or in doubt. Required.
	Alerts *alert.Manager
	// Observer is told what happens. Defaults to slog.Default for failures, and
	// nothing else.
	Observer dovetail.Observer
	// Bell wakes the relays of other processes after a commit. Defaults to none:
	// they find what is new by polling, within PollMax.
	Bell Bell
	// Lease is how long the shards of a relay that died stay unserved. Defaults to
	// 10 seconds; at least 500 milliseconds.
	Lease time.Duration
	// PollMin and PollMax bound how often an idle relay looks for messages: the
	// shorter after work, doubling to the longer. Default to 5 and 250
	// milliseconds.
	PollMin, PollMax time.Duration
	// MaxBytes bounds a message's payload and headers, as they are given to
	// Enqueue. Defaults to 1 MiB.
	MaxBytes int
	// CompressAbove is the size in bytes above which a payload is stored compressed,
	// where that makes it smaller. Handlers and dead letters have it as it was. A
	// relay of an older version of this library does not: switch it on when none
	// runs any more. Defaults to never.
	CompressAbove int
	// DedupFor is how long a DedupKey is remembered. Defaults to 30 days.
	DedupFor time.Duration
	// InboxFor is how long the relay has the store remember what Once has seen:
	// longer than any message may wait. Defaults to 30 days.
	InboxFor time.Duration
}

// alerter is what the queue needs of alert.Manager.
type alerter interface {
	Report(ctx context.Context, p alert.Problem) error
	Recovering(ctx context.Context, p alert.Problem) error
	Clear(ctx context.Context, p alert.Problem, note string) error
}

// A Queue accepts messages and delivers them. Make one with New; the zero value
// is not usable. It is safe for concurrent use.
type Queue struct {
	config   Config
	store    Store
	log      OperationLog // nil: the store has none
	inbox    Inbox        // nil: the store has none
	alerts   alerter
	observer dovetail.Observer
	quiet    bool                  // nobody listens to what went well
	relay    atomic.Pointer[relay] // while Run runs

	mu           sync.RWMutex
	destinations map[string]Destination
	running      bool

	watch  watch
	ringer ringer
}

// New returns a queue, or dovetail.Faults with everything that is wrong with c.
// It does no I/O and starts nothing.
func New(c Config) (*Queue, error) {
	faults := dovetail.Faults{Package: "outbox"}
	if c.Store == nil {
		faults.Add("OUT001", "Config.Store", "required", "sqlstore.New(db, sqlstore.SQLite), or memstore.New() for a try")
	}
	if c.Alerts == nil {
		faults.Add("OUT002", "Config.Alerts", "required; alerts would reach nobody", "alert.New(alert.Config{…})")
	}
	if c.Lease != 0 && c.Lease < 500*time.Millisecond {
		faults.Add("OUT011", "Config.Lease", "shorter than 500ms", "leave it zero for 10s")
	}
	if c.PollMin < 0 || c.PollMax < 0 || (c.PollMax != 0 && c.PollMax < c.PollMin) {
		faults.Add("OUT012", "Config.PollMin, PollMax", "negative, or the longest is shorter than the shortest", "leave both zero for 5ms and 250ms")
	}
	if c.MaxBytes < 0 || c.DedupFor < 0 || c.InboxFor < 0 {
		faults.Add("OUT013", "Config.MaxBytes, DedupFor, InboxFor", "negative", "leave them zero for 1 MiB, 30 days and 30 days")
	}
	if c.CompressAbove < 0 {
		faults.Add("OUT019", "Config.CompressAbove", "negative", "leave it zero to store payloads as they are, or write 4096")
	}
	seen := map[string]bool{}
	for i, d := range c.Destinations {
		where := fmt.Sprintf("Config.Destinations[%d]", i)
		d.faults(&faults, where)
		if seen[d.Name] {
			faults.Add("OUT004", where+".Name", fmt.Sprintf("second destination named %q", d.Name), "give it another name")
		}
		seen[d.Name] = true
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	def := func(v *time.Duration, n time.Duration) {
		if *v == 0 {
			*v = n
		}
	}
	def(&c.Lease, 10*time.Second)
	def(&c.PollMin, 5*time.Millisecond)
	def(&c.PollMax, max(250*time.Millisecond, c.PollMin))
	def(&c.DedupFor, 30*24*time.Hour)
	def(&c.InboxFor, 30*24*time.Hour)
	if c.MaxBytes == 0 {
		c.MaxBytes = 1 << 20
	}
	q := &Queue{
		config: c, store: c.Store, alerts: c.Alerts, observer: dovetail.ObserverOr(c.Observer), quiet: c.Observer == nil,
		destinations: map[string]Destination{},
	}
	q.log, _ = c.Store.(OperationLog)
	q.inbox, _ = c.Store.(Inbox)
	for _, d := range c.Destinations {
		q.destinations[d.Name] = d.withDefaults()
	}
	return q, nil
}

// Add adds a destination. It returns dovetail.Faults with everything that is
// wrong with d, and ErrRunning after Run has begun.
func (q *Queue) Add(d Destination) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.running {
		return fmt.Errorf("add destination %s: %w", d.Name, ErrRunning)
	}
	faults := dovetail.Faults{Package: "outbox"}
	d.faults(&faults, "Destination")
	if _, ok := q.destinations[d.Name]; ok {
		faults.Add("OUT004", "Destination.Name", fmt.Sprintf("second destination named %q", d.Name), "give it another name")
	}
	if err := faults.Err(); err != nil {
		return err
	}
	q.destinations[d.Name] = d.withDefaults()
	return nil
}

// Store returns the store of the queue.
func (q *Queue) Store() Store { return q.store }

// Enqueue stores messages in the caller's transaction: they are delivered if it
// commits. Call it last, so that the database holds its locks for a short time,
// and call Wake after the commit if milliseconds matter. A message whose DedupKey
// was seen for its destination is left out, with an event "outbox.duplicate". It
// returns ErrUnknownDestination, ErrTooLarge and ErrInvalidMessage before
// anything is stored.
func (q *Queue) Enqueue(ctx context.Context, tx Tx, msgs ...Message) error {
	if len(msgs) == 0 {
		return nil
	}
	if tx == nil {
		return fmt.Errorf("outbox: enqueue: %w: nil", ErrForeignTx)
	}
	entries := make([]Entry, len(msgs))
	for i, m := range msgs {
		e, err := q.entry(m)
		if err != nil {
			return fmt.Errorf("outbox: enqueue message %d for %q: %w", i, m.To, err)
		}
		entries[i] = e
	}
	ctxs, events := q.announce(ctx, entries)
	for i := range entries {
		m := &entries[i].Message
		if err := m.pack(q.config.CompressAbove); err != nil {
			return fmt.Errorf("outbox: enqueue message %d for %q: %w", i, m.To, err)
		}
		if len(m.Headers) == 0 {
			m.Headers = nil
		}
	}
	duplicates, err := q.store.InsertMessages(ctx, tx, entries)
	for i, e := range events {
		e.Duration, e.Outcome = time.Since(e.Time), "enqueued"
		if err != nil {
			// The caller gets the error; the event only ends what was started.
			e.Outcome = "failed"
		} else if slices.Contains(duplicates, i) {
			e.Outcome = "duplicate"
			q.observer.Record(ctx, dovetail.Event{Name: "outbox.duplicate", Time: time.Now(), Destination: e.Destination, System: e.System, Key: e.Key, Message: e.Message, Count: 1})
		}
		q.observer.Record(ctxs[i], e)
	}
	if err != nil {
		return fmt.Errorf("outbox: enqueue: %w", err)
	}
	q.lookAround(ctx)
	return nil
}

type eachKey struct{}

// Each returns ctx for an Enqueue of messages that belong to different requests, whose
// contexts are each: the observer is told of the message i under each[i], so that a
// trace goes on with its own request. Nothing else is taken from them. Where Enqueue
// is given another number of messages they count for nothing.
func Each(ctx context.Context, each []context.Context) context.Context {
	return context.WithValue(ctx, eachKey{}, each)
}

// announce tells the observer of what is about to be stored; it may put its headers
// into the messages. Where nobody listens there is nothing to tell.
func (q *Queue) announce(ctx context.Context, entries []Entry) ([]context.Context, []dovetail.Event) {
	if q.quiet {
		return nil, nil
	}
	each, _ := ctx.Value(eachKey{}).([]context.Context)
	ctxs := make([]context.Context, len(entries))
	events := make([]dovetail.Event, len(entries))
	for i, e := range entries {
		events[i] = dovetail.Event{
			Name: "outbox.enqueue", Time: time.Now(), System: q.system(e.To), Destination: e.To, Key: e.Key, Message: e.ID, Headers: e.Headers,
		}
		if len(each) == len(entries) {
			ctxs[i] = q.observer.Start(each[i], events[i])
		} else {
			ctxs[i] = q.observer.Start(ctx, events[i])
		}
	}
	return ctxs, events
}

// entry checks m and returns it as it will be stored.
func (q *Queue) entry(m Message) (Entry, error) {
	q.mu.RLock()
	d, ok := q.destinations[m.To]
	q.mu.RUnlock()
	if !ok {
		return Entry{}, ErrUnknownDestination
	}
	if m.ID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return Entry{}, fmt.Errorf("make an ID: %w", err)
		}
		m.ID = id.String()
	}
	if m.Payload == nil {
		m.Payload = []byte{}
	}
	if len(m.Headers) > 0 || !q.quiet { // else nobody puts anything into it
		headers := make(map[string]string, len(m.Headers)+2)
		maps.Copy(headers, m.Headers)
		m.Headers = headers
	}
	if err := m.check(q.config.MaxBytes); err != nil {
		return Entry{}, err
	}
	lane := d.lane(m)
	return Entry{Message: m, Lane: lane, Shard: shardOf(m.To, lane, m.ID)}, nil
}

// Tx runs fn in a transaction of the store's own and commits when fn returns nil;
// then it wakes the relay. fn may run again when the database asks for that. With
// sqlstore, tx is a *sql.Tx.
func (q *Queue) Tx(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error {
	if err := q.store.Transact(ctx, fn); err != nil {
		return fmt.Errorf("outbox: transaction: %w", err)
	}
	q.Wake()
	return nil
}

// Wake tells a relay in this process, and through Config.Bell those in others, that
// something was committed. It is a hint: polling alone is correct.
func (q *Queue) Wake() {
	if r := q.relay.Load(); r != nil {
		r.hint.Store(true)
		r.nudge()
	}
	q.ring()
}

// destination returns a destination by name, with its defaults.
func (q *Queue) destination(name string) (Destination, bool) {
	q.mu.RLock()
	defer q.mu.RUnlock()
	d, ok := q.destinations[name]
	return d, ok
}

func (q *Queue) system(name string) dovetail.System {
	if d, ok := q.destination(name); ok {
		return d.System
	}
	return dovetail.System(name)
}

// names returns the names of all destinations, sorted.
func (q *Queue) names() []string {
	q.mu.RLock()
	defer q.mu.RUnlock()
	return slices.Sorted(maps.Keys(q.destinations))
}
