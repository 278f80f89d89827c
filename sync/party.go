package sync

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
)

// party is one system as the engine sees it: its endpoint in slots. A nil
// function: the endpoint cannot.
type party struct {
	name   dovetail.System
	index  int
	can    Capabilities
	held   []bool // fields the system holds
	poll   time.Duration
	silent time.Duration
	linked atomic.Int64       // how many records are linked there, as last counted
	shape  outbox.Destination // how to deliver; Name and Handler are the link's

	get       func(ctx context.Context, id string) (*shown, error)
	changes   func(ctx context.Context, cursor string) (page, error)
	list      func(ctx context.Context, cursor string) (page, error)
	create    func(ctx context.Context, c request) (*shown, error)
	upsert    func(ctx context.Context, c request) (*shown, bool, error)
	update    func(ctx context.Context, c request) (*shown, error)
	delete    func(ctx context.Context, id, version string) error
	find      func(ctx context.Context, q query) ([]*shown, error)
	normalize func(field string, v dovetail.Value) dovetail.Value
}

// reads: the system tells what it holds.
func (p *party) reads() bool { return p.changes != nil || p.list != nil }

// life is how long a request that was given up on may still arrive, twice over:
// the read that looks for it takes time too.
func (p *party) life() time.Duration {
	if p.can.RequestLife > 0 {
		return 2 * p.can.RequestLife
	}
	return 2 * time.Minute
}

// request is a create or an update in slots.
type request struct {
	id, version         string
	key, idempotencyKey string
	values              []dovetail.Value
	fields              []string
	null                []string
}

// query is a Query in slots.
type query struct {
	key, field, value string
	values            []dovetail.Value
}

// badRecord is a record of a page that could not be read; its ID may be empty.
type badRecord struct {
	id  string
	err error
}

type page struct {
	records []*shown
	bad     []badRecord // records that could not be read; they stop alone
	order   []string    // the IDs as listed, those that could not be read too
	next    string
	more    bool
}

func (p page) faults() []error {
	errs := make([]error, 0, len(p.bad))
	for _, b := range p.bad {
		errs = append(errs, b.err)
	}
	return errs
}

// bind adapts a typed system to slots.
func bind[T any](s System[T], index int, sc *schema) *party {
	p := &party{
		name: s.Name, index: index, can: s.Can, poll: s.Poll, silent: s.SilentAfter,
		held: make([]bool, len(sc.names)),
		shape: outbox.Destination{
			System: s.Name, Attempts: s.Attempts, Backoff: s.Backoff, Timeout: s.Timeout,
			StuckAfter: s.StuckAfter, ProbeEvery: s.ProbeEvery, Concurrency: s.Concurrency,
		},
	}
	if p.poll == 0 {
		p.poll = time.Minute
	}
	for f, name := range sc.names {
		p.held[f] = s.Fields == nil || contains(s.Fields, name)
	}
	if s.Endpoint == nil {
		return p
	}
	b := binding[T]{schema: sc, party: p}
	p.get = func(ctx context.Context, id string) (*shown, error) {
		o, err := s.Endpoint.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		if o.ID == "" {
			o.ID = id
		}
		return b.show(&o)
	}
	b.bindReads(s.Endpoint)
	b.bindWrites(s.Endpoint)
	if n, ok := s.Endpoint.(Normalizer); ok {
		p.normalize = n.Normalize
	}
	return p
}

func contains(list []string, name string) bool {
	return slices.Contains(list, name)
}

type binding[T any] struct {
	schema *schema
	party  *party
}

func (b binding[T]) bindReads(e Endpoint[T]) {
	if c, ok := e.(Changer[T]); ok {
		b.party.changes = func(ctx context.Context, cursor string) (page, error) { return b.page(c.Changes(ctx, cursor)) }
	}
	if l, ok := e.(Lister[T]); ok {
		b.party.list = func(ctx context.Context, cursor string) (page, error) { return b.page(l.List(ctx, cursor)) }
	}
	if f, ok := e.(Finder[T]); ok {
		b.party.find = func(ctx context.Context, q query) ([]*shown, error) {
			typed := Query[T]{Key: q.key, Field: q.field, Value: q.value}
			if err := b.schema.decode(q.values, &typed.Record); err != nil {
				return nil, err
			}
			found, err := f.Find(ctx, typed)
			if err != nil {
				return nil, err
			}
			p, err := b.page(Page[T]{Records: found}, nil)
			return p.records, errors.Join(err, errors.Join(p.faults()...))
		}
	}
}

func (b binding[T]) bindWrites(e Endpoint[T]) {
	if c, ok := e.(Creator[T]); ok {
		b.party.create = func(ctx context.Context, r request) (*shown, error) {
			req, err := b.createOf(r)
			if err != nil {
				return nil, err
			}
			o, err := c.Create(ctx, req)
			if err != nil {
				return nil, err
			}
			return b.reply(&o)
		}
	}
	if c, ok := e.(Upserter[T]); ok {
		b.party.upsert = func(ctx context.Context, r request) (*shown, bool, error) {
			req, err := b.createOf(r)
			if err != nil {
				return nil, false, err
			}
			o, created, err := c.Upsert(ctx, req)
			if err != nil {
				return nil, false, err
			}
			sh, err := b.reply(&o)
			return sh, created, err
		}
	}
	if c, ok := e.(Updater[T]); ok {
		b.party.update = func(ctx context.Context, r request) (*shown, error) {
			req := Update[T]{ID: r.id, Version: r.version, Fields: r.fields, Null: r.null}
			if err := b.schema.decode(r.values, &req.Record); err != nil {
				return nil, err
			}
			o, err := c.Update(ctx, req)
			if err != nil {
				return nil, err
			}
			if o.ID == "" {
				o.ID = r.id
			}
			return b.reply(&o)
		}
	}
	if d, ok := e.(Deleter); ok {
		b.party.delete = d.Delete
	}
}

func (b binding[T]) createOf(r request) (Create[T], error) {
	c := Create[T]{Key: r.key, IdempotencyKey: r.idempotencyKey, Fields: r.fields}
	return c, b.schema.decode(r.values, &c.Record)
}

// reply reads the answer to a write. An answer that shows nothing but the ID is
// allowed: its values are absent, and the engine reads the record.
func (b binding[T]) reply(o *Observation[T]) (*shown, error) {
	if o.ID == "" {
		return nil, &dovetail.Error{Fault: dovetail.InDoubt, Op: "read the answer of " + string(b.party.name), Err: errNoID}
	}
	if o.Err != nil || reflect.ValueOf(&o.Record).Elem().IsZero() {
		return &shown{id: o.ID, version: o.Version, key: o.Key}, nil
	}
	return b.show(o)
}

func (b binding[T]) page(p Page[T], err error) (page, error) {
	if err != nil {
		return page{}, err
	}
	out := page{next: p.Next, more: p.More, records: make([]*shown, 0, len(p.Records))}
	for i := range p.Records {
		if id := p.Records[i].ID; id != "" {
			out.order = append(out.order, id)
		}
		o, err := b.show(&p.Records[i])
		if err != nil {
			out.bad = append(out.bad, badRecord{id: p.Records[i].ID, err: err})
			continue
		}
		out.records = append(out.records, o)
	}
	return out, nil
}

// unreadable gives the error of a record that cannot be read a class, where it has
// none: that is no write, so there is no doubt, and to read the same again does not
// help.
func unreadable(ref dovetail.Ref, err error) error {
	class := dovetail.Classify(err)
	if class == dovetail.Unclassified {
		class = dovetail.Invalid
	}
	return &dovetail.Error{Fault: class, Op: "read the record", Ref: ref, Err: err}
}

// show turns an observation into slots.
func (b binding[T]) show(o *Observation[T]) (*shown, error) {
	if o.Err != nil {
		return nil, unreadable(dovetail.Ref{System: b.party.name, ID: o.ID}, o.Err)
	}
	if o.ID == "" {
		return nil, &dovetail.Error{Fault: dovetail.Invalid, Op: "observe a record of " + string(b.party.name), Err: errNoID}
	}
	sh := &shown{id: o.ID, version: o.Version, key: o.Key, at: o.At, by: o.By, deleted: o.Deleted}
	sh.values = make([]dovetail.Value, len(b.schema.names))
	b.schema.encode(&o.Record, b.party.held, sh.values)
	for _, name := range o.Absent {
		f, ok := b.schema.index[name]
		if !ok {
			return nil, &dovetail.Error{Fault: dovetail.Invalid, Op: "observe a record", Ref: dovetail.Ref{System: b.party.name, ID: o.ID}, Err: fmt.Errorf("the list Absent names %q, which is no field of %s", name, reflect.TypeFor[T]())}
		}
		sh.values[f] = dovetail.Value{}
	}
	return sh, nil
}
