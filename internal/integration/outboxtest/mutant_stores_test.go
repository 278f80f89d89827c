package outboxtest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tectari/dovetail/outbox"
)

// lost is what is said where a message never comes, or comes because the audit
// found it.
var lost = []string{"lost: ", "passed a message by"}

// mutants are faults that queues of this kind have had.
var mutants = []mutant{
	{
		name: "acknowledges the whole batch with its first message", scenario: "relays/one-stops-and-hands-over-at-once", on: postgres, says: lost,
		make: func(_ *env, s outbox.Store) outbox.Store { return &wholeBatch{Store: s} },
	},
	{
		name: "reads what came late after what is newer", scenario: "enqueue/two-messages-of-one-transaction-in-two-holes", on: postgres, says: []string{"order of key"},
		make: func(_ *env, s outbox.Store) outbox.Store { return &lateLast{Store: s} },
	},
	{
		name: "forgets ids that it has not seen", scenario: "enqueue/open-for-5s-while-others-commit", on: postgres, says: lost,
		make: func(_ *env, s outbox.Store) outbox.Store { return &noHoles{s} },
	},
	{
		name: "orders by transaction", scenario: "enqueue/order-is-that-of-the-key", on: postgres, says: []string{"order of key"},
		make: func(e *env, s outbox.Store) outbox.Store {
			return &byTransaction{Store: s, e: e, real: map[int64]int64{}}
		},
	},
	{
		name: "moves on past what it has not read", scenario: "enqueue/5000-in-one-transaction", on: sqlite, says: append([]string{"order of key"}, lost...),
		make: func(_ *env, s outbox.Store) outbox.Store { return &skips{s} },
	},
	{
		name: "parks for whoever asks", scenario: "relays/late-parking-is-refused", on: sqlite, says: lost,
		make: func(e *env, s outbox.Store) outbox.Store { return &unfenced{s, e} },
	},
	{
		name: "loses what waits behind another at a takeover", scenario: "relays/what-is-parked-is-taken-over", on: sqlite, says: lost,
		make: func(e *env, s outbox.Store) outbox.Store { return &dropsBehind{s, e} },
	},
	{
		name: "a lease never ends", scenario: "relays/lost-lease-is-taken-up-again", on: sqlite, says: []string{"the other has taken over"},
		make: func(_ *env, s outbox.Store) outbox.Store { return &forEver{s} },
	},
	{
		name: "repeats what is in doubt", scenario: "outage/in-doubt-is-never-repeated", on: sqlite, says: []string{"it is in doubt", "doubt"},
		make: func(_ *env, s outbox.Store) outbox.Store { return &repeats{s} },
	},
	{
		name: "takes a deduplication key twice", scenario: "enqueue/dedup-in-one-transaction", on: sqlite, says: []string{"ghost: "},
		make: func(_ *env, s outbox.Store) outbox.Store { return &noDedup{s} },
	},
	{
		name: "stores outside of the caller's transaction", scenario: "enqueue/rolled-back", on: postgres, says: []string{"ghost: "},
		make: func(_ *env, s outbox.Store) outbox.Store { return &ownTx{s} },
	},
	{
		name: "acknowledges in its head only", scenario: "enqueue/committed", on: sqlite, says: []string{"rows are left"},
		make: func(_ *env, s outbox.Store) outbox.Store { return &acksNothing{s} },
	},
}

type wholeBatch struct {
	outbox.Store
	mu   sync.Mutex
	seen []int64
}

func (m *wholeBatch) ReadMessages(ctx context.Context, q outbox.ReadQuery) (outbox.Page, error) {
	page, err := m.Store.ReadMessages(ctx, q)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range page.Entries {
		m.seen = append(m.seen, e.Seq)
	}
	return page, err
}

func (m *wholeBatch) SettleMessages(ctx context.Context, s outbox.Settlement) (outbox.Settled, error) {
	m.mu.Lock()
	if len(s.Done) > 0 {
		s.Done = slices.Concat(s.Done, m.seen)
	}
	m.mu.Unlock()
	return m.Store.SettleMessages(ctx, s)
}

type lateLast struct {
	outbox.Store
	mu   sync.Mutex
	held []outbox.Entry
}

func (m *lateLast) ReadMessages(ctx context.Context, q outbox.ReadQuery) (outbox.Page, error) {
	page, err := m.Store.ReadMessages(ctx, q)
	m.mu.Lock()
	defer m.mu.Unlock()
	due := m.held
	m.held = nil
	var now []outbox.Entry
	for _, e := range page.Entries {
		if q.Position.After > 0 && e.Seq <= q.Position.After {
			m.held = append(m.held, e)
		} else {
			now = append(now, e)
		}
	}
	page.Entries = append(now, due...)
	return page, err
}

type noHoles struct{ outbox.Store }

func (m *noHoles) ReadMessages(ctx context.Context, q outbox.ReadQuery) (outbox.Page, error) {
	q.Position.State = nil
	return m.Store.ReadMessages(ctx, q)
}

// byTransaction gives entries numbers that follow their transactions.
type byTransaction struct {
	outbox.Store
	e    *env
	mu   sync.Mutex
	real map[int64]int64
}

func (m *byTransaction) ReadMessages(ctx context.Context, q outbox.ReadQuery) (outbox.Page, error) {
	page, err := m.Store.ReadMessages(ctx, q)
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, e := range page.Entries {
		var xid int64
		if err := m.e.db().QueryRowContext(ctx, "SELECT xmin::text::bigint FROM dovetail_message WHERE id = $1", e.Seq).Scan(&xid); err != nil {
			continue // it is gone
		}
		page.Entries[i].Seq = xid<<20 + e.Seq
		m.real[page.Entries[i].Seq] = e.Seq
	}
	return page, err
}

func (m *byTransaction) SettleMessages(ctx context.Context, s outbox.Settlement) (outbox.Settled, error) {
	m.mu.Lock()
	s.Done = slices.Clone(s.Done)
	for i, seq := range s.Done {
		if real, ok := m.real[seq]; ok {
			s.Done[i] = real
		}
	}
	m.mu.Unlock()
	return m.Store.SettleMessages(ctx, s)
}

type skips struct{ outbox.Store }

func (m *skips) ReadMessages(ctx context.Context, q outbox.ReadQuery) (outbox.Page, error) {
	page, err := m.Store.ReadMessages(ctx, q)
	if page.More {
		page.Position.After += 3
	}
	return page, err
}

// unfenced takes whoever parks for the owner.
type unfenced struct {
	outbox.Store
	e *env
}

func (m *unfenced) SettleMessages(ctx context.Context, s outbox.Settlement) (outbox.Settled, error) {
	if len(s.Park) > 0 {
		var owner string
		err := m.e.db().QueryRowContext(ctx, fmt.Sprintf("SELECT relay FROM dovetail_shard WHERE shard = %d", s.Park[0].Shard)).Scan(&owner)
		if err != nil {
			return outbox.Settled{}, err
		}
		s.Relay = owner
	}
	return m.Store.SettleMessages(ctx, s)
}

type dropsBehind struct {
	outbox.Store
	e *env
}

func (m *dropsBehind) LeaseShards(ctx context.Context, req outbox.LeaseRequest) (outbox.Lease, error) {
	lease, err := m.Store.LeaseShards(ctx, req)
	if len(lease.Fresh) > 0 {
		_, _ = m.e.db().ExecContext(ctx, "DELETE FROM dovetail_parked WHERE state = 3") // what it forgets
	}
	return lease, err
}

type forEver struct{ outbox.Store }

func (m *forEver) LeaseShards(ctx context.Context, req outbox.LeaseRequest) (outbox.Lease, error) {
	if req.TTL > 0 {
		req.TTL = time.Hour
	}
	return m.Store.LeaseShards(ctx, req)
}

type repeats struct{ outbox.Store }

func (m *repeats) SettleMessages(ctx context.Context, s outbox.Settlement) (outbox.Settled, error) {
	s.Park = slices.Clone(s.Park)
	for i := range s.Park {
		if s.Park[i].State == outbox.Doubtful {
			s.Park[i].State = outbox.Retrying
		}
	}
	return m.Store.SettleMessages(ctx, s)
}

type noDedup struct{ outbox.Store }

func (m *noDedup) InsertMessages(ctx context.Context, tx outbox.Tx, entries []outbox.Entry) ([]int, error) {
	entries = slices.Clone(entries)
	for i := range entries {
		entries[i].DedupKey = ""
	}
	return m.Store.InsertMessages(ctx, tx, entries)
}

type ownTx struct{ outbox.Store }

func (m *ownTx) InsertMessages(ctx context.Context, _ outbox.Tx, entries []outbox.Entry) (dup []int, err error) {
	err = m.Transact(ctx, func(ctx context.Context, tx outbox.Tx) error {
		dup, err = m.Store.InsertMessages(ctx, tx, entries)
		return err
	})
	return dup, err
}

type acksNothing struct{ outbox.Store }

func (m *acksNothing) SettleMessages(ctx context.Context, s outbox.Settlement) (outbox.Settled, error) {
	s.Done = nil
	return m.Store.SettleMessages(ctx, s)
}
