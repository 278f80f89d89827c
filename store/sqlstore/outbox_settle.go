package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tectari/dovetail/outbox"
)

// SettleMessages writes results in one transaction.
func (s *Store) SettleMessages(ctx context.Context, st outbox.Settlement) (outbox.Settled, error) {
	if err := s.ready(); err != nil {
		return outbox.Settled{}, err
	}
	left := len(st.Done) // those that may be among the parked ones
	done := func(x *session) error {
		if len(st.Done) == 0 {
			return nil
		}
		// No fence: deleting what was delivered is right whoever does it.
		n, err := s.dialect.outbox.done(ctx, x, st.Done)
		if err != nil {
			return fmt.Errorf("delete delivered messages: %w", err)
		}
		left = len(st.Done) - int(n)
		return nil
	}
	alone := s.dialect.base.alone && len(st.Park)+len(st.Drop) == 0
	if alone {
		err := s.repeat(ctx, func() error { return done(s.read()) })
		if err != nil || left == 0 {
			return outbox.Settled{}, err
		}
	}
	var out outbox.Settled
	err := s.update(ctx, func(tx *session) error {
		out = outbox.Settled{}
		if !alone {
			if err := done(tx); err != nil {
				return err
			}
		}
		if left+len(st.Park)+len(st.Drop) == 0 {
			return nil
		}
		owned, err := s.owned(ctx, tx, st.Relay)
		if err != nil {
			return fmt.Errorf("read the shards of relay %s: %w", st.Relay, err)
		}
		if left > 0 {
			if err := s.unpark(ctx, tx, st.Done, owned); err != nil {
				return fmt.Errorf("delete delivered messages that were parked: %w", err)
			}
		}
		if out.Refused, err = s.park(ctx, tx, st.Park, owned); err != nil {
			return fmt.Errorf("park messages: %w", err)
		}
		for _, d := range st.Drop {
			if owned[d.Destination]>>d.Shard&1 == 0 {
				continue
			}
			n, err := tx.exec(ctx, s.dialect.outbox.drop, d.Destination, d.Lane, d.Before, d.Dead)
			if err != nil {
				return fmt.Errorf("drop superseded messages: %w", err)
			}
			out.Dropped += int(n)
		}
		return nil
	})
	return out, err
}

// unpark deletes parked entries that were delivered. Who does not own their shards
// may take a head away that its lane waits for, and its owner does not know: the
// next of the lane becomes due.
func (s *Store) unpark(ctx context.Context, tx *session, seqs []int64, owned map[string]uint64) error {
	ids, err := list(seqs)
	if err != nil {
		return err
	}
	strange := map[string]uint64{}
	err = each(ctx, tx, s.dialect.outbox.parkedShards, []any{ids}, func(scan func(...any) error) error {
		var destination string
		var shard int
		err := scan(&destination, &shard)
		strange[destination] |= 1 << shard &^ owned[destination]
		return err
	})
	if err != nil || len(strange) == 0 {
		return err
	}
	if _, err := tx.exec(ctx, s.dialect.outbox.unpark, ids); err != nil {
		return err
	}
	return s.mend(ctx, tx, strange)
}

// free makes due what was parked behind a letter that is settled meanwhile. That
// there is no such letter now, or that whoever settles it finds what was parked,
// rests on operateLock, which waits for the fence.
func (s *Store) free(ctx context.Context, tx *session, seqs []int64) error {
	ids, err := list(seqs)
	if err != nil {
		return err
	}
	if _, err := tx.exec(ctx, s.dialect.outbox.free, s.clock(), ids); err != nil {
		return fmt.Errorf("look whether what stopped them is settled: %w", err)
	}
	return nil
}

// mend makes the first of each lane of some shards due that nobody else would.
func (s *Store) mend(ctx context.Context, tx *session, shards map[string]uint64) error {
	for _, destination := range slices.Sorted(maps.Keys(shards)) {
		mask := shards[destination]
		if mask == 0 {
			continue
		}
		if _, err := tx.exec(ctx, s.dialect.outbox.mendShards, s.clock(), destination, int64(mask)); err != nil { // #nosec G115 -- a mask
			return fmt.Errorf("mend lanes of %s: %w", destination, err)
		}
	}
	return nil
}

// owned returns the shards of a relay, as bits per destination. Until tx ends
// nobody else can take one: who takes over removes the relay's row first, and the
// fence holds it. That parking is safe rests on this.
func (s *Store) owned(ctx context.Context, tx *session, relay string) (map[string]uint64, error) {
	out := map[string]uint64{}
	live, err := texts(ctx, tx, s.dialect.outbox.fence, relay)
	if err != nil || len(live) == 0 || relay == "" {
		return out, err
	}
	err = each(ctx, tx, s.dialect.outbox.owned, []any{relay}, func(scan func(...any) error) error {
		var destination string
		var shard int
		err := scan(&destination, &shard)
		out[destination] |= 1 << shard
		return err
	})
	return out, err
}

// parking is a Parking as the statements read it.
type parking struct {
	ID       int64  `json:"id"`
	State    int    `json:"state"`
	Wait     int64  `json:"wait"`
	Attempts int    `json:"attempts"`
	Class    string `json:"class"`
	Code     string `json:"code"`
	Field    string `json:"field"`
	Error    string `json:"error"`
}

// park moves entries to the parked ones, or changes them there. What is gone
// stays gone; where that was to be the head of a lane, the next one becomes due. It
// returns those whose shard is not owned.
func (s *Store) park(ctx context.Context, tx *session, parkings []outbox.Parking, owned map[string]uint64) (refused []int64, err error) {
	var rows []parking
	var stopped []int64
	shards := map[string]uint64{}
	for _, p := range parkings {
		if owned[p.Destination]>>p.Shard&1 == 0 {
			refused = append(refused, p.Seq)
			continue
		}
		shards[p.Destination] |= 1 << p.Shard
		if p.Stops {
			stopped = append(stopped, p.Seq)
		}
		rows = append(rows, parking{
			ID: p.Seq, State: int(p.State), Wait: toMillis(p.Wait), Attempts: p.Attempts,
			Class: p.Class.String(), Code: clean(p.Code), Field: clean(p.Field), Error: clean(p.Error),
		})
	}
	if len(rows) == 0 {
		return refused, nil
	}
	text, err := json.Marshal(rows)
	if err != nil {
		return nil, err
	}
	found, err := s.dialect.outbox.park(ctx, tx, s.clock(), string(text))
	if err == nil && len(stopped) > 0 {
		err = s.free(ctx, tx, stopped)
	}
	if err != nil || found >= int64(len(rows)) {
		return refused, err
	}
	return refused, s.mend(ctx, tx, shards)
}

// clean makes a text that every database takes: valid UTF-8 without a NUL.
func clean(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// parkBy returns how entries are parked by three statements: what is parked is
// changed, what waits is moved, and what was moved is deleted.
func parkBy(change, move, remove string) func(ctx context.Context, x *session, clock any, parkings string) (int64, error) {
	return func(ctx context.Context, x *session, clock any, parkings string) (int64, error) {
		changed, err := x.exec(ctx, change, clock, parkings)
		if err != nil {
			return 0, err
		}
		moved, err := x.exec(ctx, move, clock, parkings)
		if err != nil {
			return 0, err
		}
		_, err = x.exec(ctx, remove, clock, parkings)
		return changed + moved, err
	}
}
