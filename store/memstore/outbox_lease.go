package memstore

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/tectari/dovetail/outbox"
)

// LeaseShards registers or renews a relay and hands out shards.
func (s *Store) LeaseShards(ctx context.Context, req outbox.LeaseRequest) (outbox.Lease, error) {
	var out outbox.Lease
	err := s.update(ctx, func(tx *Tx) error {
		o, now := &s.outbox, time.Now()
		for id, r := range o.relays {
			if id != req.Relay && !r.until.After(now) {
				o.endRelay(id)
			}
		}
		if req.TTL <= 0 {
			o.endRelay(req.Relay)
			return nil
		}
		if _, known := o.relays[req.Relay]; req.Renew && !known {
			return outbox.ErrLeaseLost
		}
		o.relays[req.Relay] = relay{until: now.Add(req.TTL), destinations: slices.Clone(req.Destinations)}
		for destination, mask := range req.Release {
			for shard := range outbox.Shards {
				if mask>>shard&1 == 1 && o.owns(req.Relay, destination, shard) {
					o.shards[destination][shard] = ""
				}
			}
		}
		out = o.share(tx, req, now)
		if req.Forget > 0 {
			for k, seen := range o.dedup {
				if seen.Before(now.Add(-req.Forget)) {
					drop(tx, o.dedup, k)
				}
			}
		}
		maps.Copy(out.Paused, o.pauses)
		return nil
	})
	return out, err
}

// endRelay frees the shards of a relay.
func (o *outboxState) endRelay(id string) {
	delete(o.relays, id)
	for _, owners := range o.shards {
		for shard, owner := range owners {
			if owner == id {
				owners[shard] = ""
			}
		}
	}
}

// share hands out free shards to a relay, up to its fair share.
func (o *outboxState) share(tx *Tx, req outbox.LeaseRequest, now time.Time) outbox.Lease {
	out := outbox.Lease{
		Owned: map[string]uint64{}, Fresh: map[string]uint64{}, Excess: map[string]int{}, Paused: map[string]outbox.Pause{},
	}
	for _, name := range req.Destinations {
		if o.shards[name] == nil {
			o.shards[name] = new([outbox.Shards]string)
		}
	}
	for name, owners := range o.shards {
		fair, live := 0, 0
		for _, r := range o.relays {
			if slices.Contains(r.destinations, name) {
				live++
			}
		}
		if slices.Contains(req.Destinations, name) {
			fair = (outbox.Shards + live - 1) / live
		}
		count := 0
		for shard, owner := range owners {
			if owner == req.Relay {
				out.Owned[name] |= 1 << shard
				count++
			}
		}
		for shard, owner := range owners {
			if owner == "" && count < fair {
				owners[shard] = req.Relay
				out.Owned[name] |= 1 << shard
				out.Fresh[name] |= 1 << shard
				count++
			}
		}
		if count > fair {
			out.Excess[name] = count - fair
		}
		if out.Fresh[name] == 0 {
			continue
		}
		o.mendShards(tx, name, out.Fresh[name], now)
	}
	return out
}

// mendShards makes the first of each lane of some shards due that nobody else would.
func (o *outboxState) mendShards(tx *Tx, destination string, mask uint64, now time.Time) {
	lanes := map[laneKey]bool{}
	for _, p := range o.parked {
		if p.To == destination && p.State == outbox.Behind && mask>>p.Shard&1 == 1 {
			lanes[laneKey{p.To, p.Lane}] = true
		}
	}
	for k := range lanes {
		o.mend(tx, k, now)
	}
}
