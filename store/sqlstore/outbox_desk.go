package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
)

// queryer runs a query, in a transaction or outside.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// pauses returns the destinations that a person has paused.
func (s *Store) pauses(ctx context.Context, q queryer) (map[string]outbox.Pause, error) {
	out := map[string]outbox.Pause{}
	err := each(ctx, q, s.dialect.outbox.pauses, nil, func(scan func(...any) error) error {
		var (
			name string
			p    outbox.Pause
			at   int64
		)
		err := scan(&name, &p.Who, &p.Why, &at)
		p.At = fromMillis(at)
		out[name] = p
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list paused destinations: %w", err)
	}
	return out, nil
}

// each calls fn for every row of a query.
func each(ctx context.Context, q queryer, query string, args []any, fn func(scan func(...any) error) error) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err is returned below
	for rows.Next() {
		if err := fn(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// QueueStatus looks at the oldest entries and says how things stand.
func (s *Store) QueueStatus(ctx context.Context, limit int) ([]outbox.Status, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	o := s.dialect.outbox
	var now int64
	if err := s.read().QueryRowContext(ctx, o.now, s.clock()).Scan(&now); err != nil {
		return nil, err
	}
	found := map[string]*outbox.Status{}
	get := func(name string) *outbox.Status {
		if found[name] == nil {
			found[name] = &outbox.Status{Destination: name}
		}
		return found[name]
	}
	older := func(st *outbox.Status, since sql.NullInt64) {
		if since.Valid {
			st.Age = max(st.Age, time.Duration(now-since.Int64)*time.Millisecond)
		}
	}
	var total int64
	err := each(ctx, s.read(), o.statusWaiting, []any{limit}, func(scan func(...any) error) error {
		var name string
		var n int64
		var since sql.NullInt64
		err := scan(&name, &n, &since)
		st := get(name)
		st.Waiting = n
		total += n
		older(st, since)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look at waiting messages: %w", err)
	}
	err = each(ctx, s.read(), o.statusParked, []any{limit}, func(scan func(...any) error) error {
		var name string
		var parked, dead, doubt int64
		var since sql.NullInt64
		err := scan(&name, &parked, &dead, &doubt, &since)
		st := get(name)
		st.Parked, st.Dead, st.InDoubt = parked, dead, doubt
		older(st, since)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look at parked messages: %w", err)
	}
	pauses, err := s.pauses(ctx, s.read())
	if err != nil {
		return nil, err
	}
	for name, p := range pauses {
		get(name).Paused = &p
	}
	var out []outbox.Status
	for _, name := range slices.Sorted(maps.Keys(found)) {
		found[name].AtLeast = total >= int64(limit)
		out = append(out, *found[name])
	}
	return out, nil
}

// DeadLetters returns what the filter selects.
func (s *Store) DeadLetters(ctx context.Context, f outbox.Filter) ([]outbox.DeadLetter, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	rows, err := s.letters(ctx, s.read(), f)
	if err != nil {
		return nil, err
	}
	out := make([]outbox.DeadLetter, len(rows))
	for i, r := range rows {
		out[i] = r.DeadLetter
	}
	return out, nil
}

// A letter is a dead letter with its lane.
type letter struct {
	outbox.DeadLetter
	lane string
}

func (s *Store) letters(ctx context.Context, q queryer, f outbox.Filter) ([]letter, error) {
	ids, err := list(f.IDs)
	if err != nil {
		return nil, err
	}
	state, before := outbox.Dead, int64(math.MaxInt64)
	if f.InDoubt {
		state = outbox.Doubtful
	}
	if !f.Before.IsZero() {
		before = millis(f.Before)
	}
	if f.Limit <= 0 {
		f.Limit = 1000
	}
	args := []any{f.Destination, f.Class, f.Code, f.Key, f.Topic, ids, millis(f.Since), before, int(state), f.After, f.Limit}
	var out []letter
	err = each(ctx, q, s.dialect.outbox.letters, args, func(scan func(...any) error) error {
		var (
			l               letter
			created, parked int64
			headers         []byte
			class           string
		)
		err := scan(&l.Seq, &created, &l.To, &l.lane, &l.ID, &l.Topic, &l.Key, &headers, &l.Payload,
			&parked, &l.Attempts, &l.Replays, &class, &l.Code, &l.Field, &l.Error)
		if err != nil {
			return err
		}
		l.Enqueued, l.Parked, l.InDoubt = fromMillis(created), fromMillis(parked), f.InDoubt
		l.Class, _ = dovetail.ParseClass(class) // what is unknown is unclassified
		l.Headers, err = decodeHeaders(headers)
		out = append(out, l)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	return out, nil
}

// OperateQueue does what a person asked for, and records it.
func (s *Store) OperateQueue(ctx context.Context, op outbox.Operation) (outbox.Operated, error) {
	var out outbox.Operated
	err := s.update(ctx, func(tx *session) error {
		var err error
		out, err = s.operate(ctx, tx, op)
		if err != nil {
			return err
		}
		filter, err := json.Marshal(op.Filter)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, s.dialect.outbox.record, s.clock(), op.Who, op.Why, string(op.Action), op.Destination, string(filter), out.Messages)
		return err
	})
	return out, err
}

func (s *Store) operate(ctx context.Context, tx *session, op outbox.Operation) (outbox.Operated, error) {
	o := s.dialect.outbox
	switch op.Action {
	case outbox.PauseAction:
		_, err := tx.ExecContext(ctx, o.pause, op.Destination, op.Who, op.Why, s.clock())
		return outbox.Operated{}, err
	case outbox.ResumeAction:
		_, err := tx.ExecContext(ctx, o.resume, op.Destination)
		return outbox.Operated{}, err
	case outbox.ReplayAction, outbox.DiscardAction:
	default:
		return outbox.Operated{}, fmt.Errorf("sqlstore: unknown action %q", op.Action)
	}
	// Relays that park something behind a letter wait, or have done so.
	for _, lock := range []string{o.leaseLock, o.operateLock} {
		if lock == "" {
			continue
		}
		if _, err := tx.ExecContext(ctx, lock); err != nil {
			return outbox.Operated{}, fmt.Errorf("wait for the relays: %w", err)
		}
	}
	found, err := s.letters(ctx, tx, op.Filter)
	if err != nil || len(found) == 0 {
		return outbox.Operated{}, err
	}
	seqs := make([]int64, len(found))
	for i, l := range found {
		seqs[i] = l.Seq
	}
	ids, err := list(seqs)
	if err != nil {
		return outbox.Operated{}, err
	}
	if op.Action == outbox.ReplayAction {
		_, err = tx.ExecContext(ctx, o.replay, s.clock(), ids)
	} else {
		_, err = tx.ExecContext(ctx, o.discard, ids)
	}
	if err != nil {
		return outbox.Operated{}, err
	}
	out := outbox.Operated{Messages: len(found)}
	out.Settled, err = s.afterwards(ctx, tx, found)
	return out, err
}

// afterwards lets the lanes of letters go on, and returns the causes of which no
// letter is left.
func (s *Store) afterwards(ctx context.Context, tx *session, found []letter) ([]outbox.Cause, error) {
	o := s.dialect.outbox
	lanes := map[[2]string]bool{}
	causes := map[outbox.Cause]bool{}
	var settled []outbox.Cause
	for _, l := range found {
		if k := [2]string{l.To, l.lane}; l.lane != "" && !lanes[k] {
			lanes[k] = true
			if _, err := tx.ExecContext(ctx, o.mendLane, s.clock(), l.To, l.lane); err != nil {
				return nil, fmt.Errorf("mend a lane of %s: %w", l.To, err)
			}
		}
		c := outbox.Cause{Destination: l.To, InDoubt: l.InDoubt, Class: l.Class, Code: l.Code, Field: l.Field}
		if causes[c] {
			continue
		}
		causes[c] = true
		state := outbox.Dead
		if c.InDoubt {
			state = outbox.Doubtful
		}
		var left bool
		if err := tx.QueryRowContext(ctx, o.left, c.Destination, int(state), c.Class.String(), c.Code, c.Field).Scan(&left); err != nil {
			return nil, fmt.Errorf("look for letters that are left: %w", err)
		}
		if !left {
			settled = append(settled, c)
		}
	}
	return settled, nil
}
