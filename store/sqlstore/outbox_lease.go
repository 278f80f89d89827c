package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/tectari/dovetail/outbox"
)

// forgetRows is how many deduplication keys are removed at once.
const forgetRows = 5000

// LeaseShards registers or renews a relay and hands out shards.
func (s *Store) LeaseShards(ctx context.Context, req outbox.LeaseRequest) (outbox.Lease, error) {
	var out outbox.Lease
	err := s.update(ctx, func(tx *session) error {
		l := lessor{store: s, tx: tx, sql: s.dialect.outbox, req: req}
		var err error
		out, err = l.lease(ctx)
		return err
	})
	return out, err
}

// A lessor does one LeaseShards in one transaction.
type lessor struct {
	store *Store
	tx    *session
	sql   outboxSQL
	req   outbox.LeaseRequest
}

func (l lessor) exec(ctx context.Context, query string, args ...any) (int64, error) {
	return affected(l.tx.ExecContext(ctx, query, args...))
}

func (l lessor) lease(ctx context.Context) (outbox.Lease, error) {
	// Who shares out shards must see what the others have taken.
	if l.sql.leaseLock != "" {
		if _, err := l.exec(ctx, l.sql.leaseLock); err != nil {
			return outbox.Lease{}, fmt.Errorf("wait for other relays: %w", err)
		}
	}
	if err := l.register(ctx); err != nil {
		return outbox.Lease{}, err
	}
	for destination, mask := range l.req.Release {
		if _, err := l.exec(ctx, l.sql.release, destination, l.req.Relay, int64(mask)); err != nil { // #nosec G115 -- a mask
			return outbox.Lease{}, fmt.Errorf("release shards of %s: %w", destination, err)
		}
	}
	out := outbox.Lease{Owned: map[string]uint64{}, Fresh: map[string]uint64{}, Excess: map[string]int{}}
	if l.req.TTL <= 0 {
		return out, nil
	}
	live, err := l.live(ctx)
	if err != nil {
		return outbox.Lease{}, err
	}
	slots, err := l.slots(ctx)
	if err != nil {
		return outbox.Lease{}, err
	}
	for destination, owners := range slots {
		l.share(&out, destination, owners, live[destination])
		if fresh := out.Fresh[destination]; fresh != 0 {
			if err := l.take(ctx, destination, fresh); err != nil {
				return outbox.Lease{}, err
			}
		}
	}
	if l.req.Forget > 0 {
		if _, err := l.exec(ctx, l.sql.forget, l.store.clock(), toMillis(l.req.Forget), forgetRows); err != nil {
			return outbox.Lease{}, fmt.Errorf("forget deduplication keys: %w", err)
		}
	}
	out.Paused, err = l.store.pauses(ctx, l.tx)
	return out, err
}

// register frees the shards of relays whose time is over, and renews this one's.
// A relay whose time is over but whose shards nobody has taken yet goes on.
func (l lessor) register(ctx context.Context) error {
	expired, err := texts(ctx, l.tx, l.sql.expired, l.store.clock(), l.req.Relay)
	if err != nil {
		return fmt.Errorf("look for expired relays: %w", err)
	}
	if l.req.TTL <= 0 {
		expired = append(expired, l.req.Relay)
	}
	for _, relay := range expired {
		if _, err := l.exec(ctx, l.sql.freeRelay, relay); err != nil {
			return fmt.Errorf("free the shards of relay %s: %w", relay, err)
		}
		if _, err := l.exec(ctx, l.sql.endRelay, relay); err != nil {
			return fmt.Errorf("end relay %s: %w", relay, err)
		}
	}
	if l.req.TTL <= 0 {
		return nil
	}
	names, err := list(l.req.Destinations)
	if err != nil {
		return err
	}
	ttl := toMillis(l.req.TTL)
	if !l.req.Renew {
		_, err = l.exec(ctx, l.sql.setRelay, l.req.Relay, l.store.clock(), ttl, names)
		return err
	}
	n, err := l.exec(ctx, l.sql.renewRelay, l.store.clock(), ttl, names, l.req.Relay)
	if err == nil && n == 0 {
		return outbox.ErrLeaseLost
	}
	return err
}

// live returns how many live relays serve each destination.
func (l lessor) live(ctx context.Context) (map[string]int, error) {
	lists, err := texts(ctx, l.tx, l.sql.relays)
	if err != nil {
		return nil, fmt.Errorf("list relays: %w", err)
	}
	count := map[string]int{}
	for _, text := range lists {
		var names []string
		if err := json.Unmarshal([]byte(text), &names); err != nil {
			return nil, fmt.Errorf("list relays: %w", err)
		}
		for _, name := range names {
			count[name]++
		}
	}
	return count, nil
}

// slots returns the owner of each shard of each destination, and makes the rows
// of a destination that has none.
func (l lessor) slots(ctx context.Context) (map[string][]string, error) {
	slots := map[string][]string{}
	rows, err := l.tx.QueryContext(ctx, l.sql.shards)
	if err != nil {
		return nil, fmt.Errorf("list shards: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err is checked below
	for rows.Next() {
		var destination, relay string
		var shard int
		if err := rows.Scan(&destination, &shard, &relay); err != nil {
			return nil, fmt.Errorf("list shards: %w", err)
		}
		if slots[destination] == nil {
			slots[destination] = make([]string, outbox.Shards)
		}
		slots[destination][shard] = relay
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list shards: %w", err)
	}
	for _, name := range l.req.Destinations {
		if slots[name] != nil {
			continue
		}
		if _, err := l.exec(ctx, l.sql.addShards, name, outbox.Shards); err != nil {
			return nil, fmt.Errorf("add shards of %s: %w", name, err)
		}
		slots[name] = make([]string, outbox.Shards)
	}
	return slots, nil
}

// share decides what the relay owns of a destination that n relays serve.
func (l lessor) share(out *outbox.Lease, destination string, owners []string, n int) {
	var owned, fresh uint64
	count := 0
	for shard, relay := range owners {
		if relay == l.req.Relay {
			owned |= 1 << shard
			count++
		}
	}
	fair := 0
	if slices.Contains(l.req.Destinations, destination) {
		fair = (outbox.Shards + n - 1) / n
	}
	for shard, relay := range owners {
		if relay == "" && count < fair {
			fresh |= 1 << shard
			count++
		}
	}
	if owned|fresh == 0 {
		return
	}
	out.Owned[destination], out.Fresh[destination] = owned|fresh, fresh
	if count > fair {
		out.Excess[destination] = count - fair
	}
}

// take writes down that the relay owns shards, and makes the first of each lane
// due that nobody else would.
func (l lessor) take(ctx context.Context, destination string, mask uint64) error {
	if _, err := l.exec(ctx, l.sql.claim, l.req.Relay, destination, int64(mask)); err != nil { // #nosec G115 -- a mask
		return fmt.Errorf("claim shards of %s: %w", destination, err)
	}
	return l.store.mend(ctx, l.tx, map[string]uint64{destination: mask})
}

// texts returns the one column of a query.
func texts(ctx context.Context, tx *session, query string, args ...any) ([]string, error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err is returned below
	var out []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		out = append(out, text)
	}
	return out, rows.Err()
}
