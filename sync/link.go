package sync

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	stdsync "sync"
	"time"

	"github.com/google/uuid"
	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/idempotency"
	"github.com/tectari/dovetail/outbox"
)

var errNoID = errors.New("the endpoint returned no ID")

// A Link keeps one record type in agreement across systems. Make one with New;
// the zero value is not usable. Its methods are safe for concurrent use. Several
// processes may run the same link over one database.
type Link struct {
	name       string
	rules      *rules
	schema     *schema
	parties    []*party
	references []*Link // by field
	match      []int
	brakes     Brakes
	store      Store
	queue      *outbox.Queue
	alerts     *alert.Manager
	observer   dovetail.Observer
	sweepEvery time.Duration
	lease      time.Duration
	ledger     idempotency.Store
	creators   []*idempotency.Upserter[createRequest]
	guarantees []Guarantee
	warnings   []dovetail.Fault
	now        func() time.Time
	newKey     func() string

	mu      stdsync.Mutex
	agreed  time.Time       // when the rules were last found to be those of the store
	holding map[string]bool // brakes that this process saw hold
	looked  map[int]bool    // systems whose brakes, held by whomever, it has looked at
}

// New checks the rule sheet and returns the link. It does no I/O and starts
// nothing. The error is a *dovetail.Faults that lists everything that is open or
// wrong, by name, with what to write.
func New[T any](c Config[T]) (*Link, error) {
	faults := &dovetail.Faults{Package: "sync"}
	sc := compile(reflect.TypeFor[T](), faults)
	l := &Link{
		name: c.Name, schema: sc, store: c.Store, queue: c.Queue, alerts: c.Alerts,
		observer: dovetail.ObserverOr(c.Observer), brakes: c.Brakes.withDefaults(),
		sweepEvery: c.Sweep, lease: c.Lease, now: time.Now, holding: make(map[string]bool), looked: make(map[int]bool),
		newKey: newKey,
	}
	if l.sweepEvery == 0 {
		l.sweepEvery = 10 * time.Minute
	}
	for i, s := range c.Systems {
		l.parties = append(l.parties, bind(s, i, sc))
	}
	check(l, checkInput{
		name: c.Name, fields: c.Fields, resolvers: c.Resolvers, exists: c.Exists,
		match: c.Match, references: c.References, record: reflect.TypeFor[T]().Name(),
		endpoints:    endpointsGiven(c.Systems),
		systemFields: fieldsGiven(c.Systems),
	}, faults)
	if err := faults.Err(); err != nil {
		return nil, err
	}
	l.warnings = faults.List
	if err := l.wire(); err != nil {
		return nil, err
	}
	return l, nil
}

// newKey makes a record's key. A failure of the system's randomness has no
// remedy here; uuid panics for it, as crypto/rand does.
func newKey() string { return uuid.Must(uuid.NewV7()).String() }

func endpointsGiven[T any](systems []System[T]) []bool {
	given := make([]bool, len(systems))
	for i, s := range systems {
		given[i] = s.Endpoint != nil
	}
	return given
}

func fieldsGiven[T any](systems []System[T]) [][]string {
	given := make([][]string, len(systems))
	for i, s := range systems {
		given[i] = s.Fields
	}
	return given
}

// wire gives the queue its destinations and the ledger its targets.
func (l *Link) wire() error {
	ledger, ok := l.store.(idempotency.Store)
	if !ok {
		return fmt.Errorf("sync: Config.Store: %T keeps no idempotency ledger; use sqlstore or memstore", l.store)
	}
	l.ledger = ledger
	l.creators = make([]*idempotency.Upserter[createRequest], len(l.parties))
	for i, p := range l.parties {
		if p.create != nil || p.upsert != nil {
			u, err := l.newCreator(p)
			if err != nil {
				return fmt.Errorf("sync: link %q, system %q: %w", l.name, p.name, err)
			}
			l.creators[i] = u
		}
		if err := l.addDestinations(p); err != nil {
			return fmt.Errorf("sync: link %q, system %q: %w", l.name, p.name, err)
		}
	}
	return nil
}

func (l *Link) addDestinations(p *party) error {
	write := p.shape
	write.Name, write.Poison = l.writeTo(p.index), outbox.LatestWins
	write.Handler = outbox.HandlerFunc(func(ctx context.Context, d outbox.Delivery) error {
		return l.handle(ctx, func(ctx context.Context) error { return l.deliver(ctx, p, d.Key) })
	})
	if err := l.queue.Add(write); err != nil {
		return err
	}
	read := p.shape
	read.Name, read.Poison = l.readFrom(p.index), outbox.LatestWins
	read.Handler = outbox.HandlerFunc(func(ctx context.Context, d outbox.Delivery) error {
		return l.handle(ctx, func(ctx context.Context) error { return l.observe(ctx, p, d.Key) })
	})
	return l.queue.Add(read)
}

// writeTo is the destination of writes to a system; readFrom that of re-reads.
func (l *Link) writeTo(system int) string  { return l.name + "/" + string(l.rules.systems[system]) }
func (l *Link) readFrom(system int) string { return l.writeTo(system) + "/read" }

// Name returns the link's name.
func (l *Link) Name() string { return l.name }

// Warnings returns what New found that does not stop a start.
func (l *Link) Warnings() []dovetail.Fault { return l.warnings }

// Rules returns the rule sheet as a Markdown table and a Mermaid drawing, for
// the people who decide.
func (l *Link) Rules() (markdown, mermaid string) {
	return l.rules.table.Markdown(), l.rules.table.Mermaid()
}

func (l *Link) party(system dovetail.System) (*party, error) {
	i := l.rules.indexOf(system)
	if i < 0 {
		return nil, fmt.Errorf("sync: link %q has no system %q", l.name, system)
	}
	return l.parties[i], nil
}
