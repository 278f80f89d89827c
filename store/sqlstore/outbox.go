package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"github.com/tectari/dovetail/outbox"
)

// outboxSQL is what a dialect says for the queue. Lists are passed as one JSON
// array, masks of shards as a signed 64-bit number, times as milliseconds.
type outboxSQL struct {
	// insert stores waiting entries, schedule one that may be due later, and read
	// is ReadMessages: how late commits show differs between databases.
	insert   func(ctx context.Context, x execer, clock any, rows []outbox.Entry) error
	schedule func(ctx context.Context, x execer, clock any, e outbox.Entry) error
	read     func(ctx context.Context, s *Store, q outbox.ReadQuery) (outbox.Page, error)
	// done deletes waiting entries and returns how many it found.
	done func(ctx context.Context, x *session, seqs []int64) (int64, error)
	// park moves entries to the parked ones, or changes them there, and returns how
	// many it found.
	park func(ctx context.Context, x *session, clock any, parkings string) (int64, error)

	dedup string // destination, dedup, message, null
	// dedupMany remembers the keys of several entries, which differ, and returns those
	// that were not known. Nil: they are remembered one by one.
	dedupMany func(ctx context.Context, x *session, clock any, entries []outbox.Entry) (map[[2]string]bool, error)

	due  string // destination, mask, null, limit
	lane string // destination, lane, destination, lane, limit

	fence string // relay; keeps its shards from being taken until the transaction ends
	owned string // relay
	drop  string // destination, lane, before, dead
	// parkedShards lists where parked entries are, unpark deletes them.
	parkedShards, unpark string // ids

	// free makes the first of the lanes of some entries due where it waits behind
	// nothing at all.
	free string // null, ids
	// operateLock keeps parked entries from being parked until the transaction ends.
	operateLock string

	leaseLock  string // what LeaseShards begins with, where several may run at once
	expired    string // null, relay
	freeRelay  string // relay
	endRelay   string // relay
	setRelay   string // relay, null, ttl, destinations
	renewRelay string // null, ttl, destinations, relay
	relays     string
	shards     string
	addShards  string // destination, count
	release    string // destination, relay, mask
	claim      string // relay, destination, mask
	mendShards string // null, destination, mask
	forget     string // null, age, limit
	pauses     string
	see        string // consumer, message, null
	forgetSeen string // null, age, limit

	now           string // null
	statusWaiting string // limit
	statusParked  string // limit
	letters       string // destination, class, code, key, topic, ids, since, before, state, after, limit
	replay        string // null, ids
	discard       string // ids
	mendLane      string // null, destination, lane
	left          string // destination, state, class, code, field
	pause         string // destination, who, why, null
	resume        string // destination
	record        string // null, who, why, action, destination, filter, messages
	operations    string // destination, who, action, since, before, below, limit
}

var _ outbox.Store = (*Store)(nil)

// Transact runs fn in a write transaction; tx is a *sql.Tx.
func (s *Store) Transact(ctx context.Context, fn func(ctx context.Context, tx outbox.Tx) error) error {
	return s.update(ctx, func(tx *session) error { return fn(ctx, tx.tx) })
}

// ReadMessages reads what waits.
func (s *Store) ReadMessages(ctx context.Context, q outbox.ReadQuery) (outbox.Page, error) {
	if err := s.ready(); err != nil {
		return outbox.Page{Position: q.Position}, err
	}
	if len(q.Wants) == 0 {
		return outbox.Page{Position: q.Position}, nil
	}
	return s.dialect.outbox.read(ctx, s, q)
}

// DueMessages reads parked messages whose time has come.
func (s *Store) DueMessages(ctx context.Context, wants []outbox.Want) ([]outbox.Entry, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	var list []outbox.Entry
	for _, w := range wants {
		more, err := s.entries(ctx, s.dialect.outbox.due, w.Destination, int64(w.Shards), s.clock(), w.Limit) // #nosec G115 -- a mask
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	return list, nil
}

// LaneMessages reads what is parked behind another of its lane.
func (s *Store) LaneMessages(ctx context.Context, destination, lane string, limit int) ([]outbox.Entry, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	return s.entries(ctx, s.dialect.outbox.lane, destination, lane, destination, lane, limit)
}

func (s *Store) entries(ctx context.Context, query string, args ...any) ([]outbox.Entry, error) {
	rows, err := s.read().QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err is returned below
	var list []outbox.Entry
	for rows.Next() {
		e, err := scanEntry(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, rows.Err()
}

// scanEntry reads the columns that every read of entries has.
func scanEntry(rows *sql.Rows) (outbox.Entry, error) {
	var (
		e            outbox.Entry
		created, due int64
		headers      []byte
		waits, stops int64
	)
	err := rows.Scan(&e.Seq, &created, &e.To, &e.Shard, &e.Lane, &e.ID, &e.Topic, &e.Key, &headers, &e.Payload,
		&e.State, &due, &e.Attempts, &e.Replays, &waits, &stops)
	if err != nil {
		return e, err
	}
	e.Enqueued, e.Due = fromMillis(created), fromMillis(due)
	e.Waits, e.Stops = waits != 0, stops != 0
	e.Headers, err = decodeHeaders(headers)
	return e, err
}

// affected returns how many rows a statement touched.
func affected(res sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// list is a JSON array, as statements take lists.
func list[T any](values []T) (string, error) {
	if len(values) == 0 {
		return "[]", nil
	}
	b, err := json.Marshal(values)
	return string(b), err
}

// toMillis is a duration as a statement takes it, rounded up.
func toMillis(d time.Duration) int64 { return int64((d + time.Millisecond - 1) / time.Millisecond) }
