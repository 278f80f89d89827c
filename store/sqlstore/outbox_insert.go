package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/tectari/dovetail/outbox"
)

// An execer runs a statement and says how many rows it touched. Storing messages
// needs no more of a transaction.
type execer interface {
	exec(ctx context.Context, query string, args ...any) (int64, error)
}

// exec runs a statement and returns how many rows it touched.
func (x *session) exec(ctx context.Context, query string, args ...any) (int64, error) {
	return affected(x.ExecContext(ctx, query, args...))
}

// InsertMessages stores entries in tx, which must be a *sql.Tx of this database,
// or what FromPgx made of a pgx.Tx.
func (s *Store) InsertMessages(ctx context.Context, tx outbox.Tx, entries []outbox.Entry) ([]int, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	x, err := s.execer(tx)
	if err != nil {
		return nil, err
	}
	o := s.dialect.outbox
	known, err := s.dedupMany(ctx, x, entries)
	if err != nil {
		return nil, fmt.Errorf("remember deduplication keys: %w", err)
	}
	var duplicates []int
	var rows []outbox.Entry
	flush := func() error {
		if len(rows) == 0 {
			return nil
		}
		err := o.insert(ctx, x, s.clock(), rows)
		rows = rows[:0]
		return err
	}
	for i, e := range entries {
		if known[i] {
			duplicates = append(duplicates, i)
			continue
		}
		if e.DedupKey != "" && known == nil {
			// Which of two is stored rests on the primary key of dovetail_dedup.
			n, err := x.exec(ctx, o.dedup, e.To, e.DedupKey, e.ID, s.clock())
			if err != nil {
				return nil, fmt.Errorf("remember a deduplication key: %w", err)
			}
			if n == 0 {
				duplicates = append(duplicates, i)
				continue
			}
		}
		if e.Due.IsZero() {
			rows = append(rows, e)
			continue
		}
		if err := flush(); err != nil { // keeps the order of ids that of entries
			return nil, err
		}
		if err := o.schedule(ctx, x, s.clock(), e); err != nil {
			return nil, fmt.Errorf("schedule message %s: %w", e.ID, err)
		}
	}
	return duplicates, flush()
}

// dedupMany remembers the deduplication keys of several entries in one round trip,
// where the dialect and the transaction can, and says which entries are duplicates. It
// returns nil where the keys are to be remembered one by one.
func (s *Store) dedupMany(ctx context.Context, x execer, entries []outbox.Entry) (map[int]bool, error) {
	own, ok := x.(*session)
	if !ok || s.dialect.outbox.dedupMany == nil {
		return nil, nil
	}
	known := map[int]bool{}
	first := map[[2]string]bool{}
	var asked []outbox.Entry
	for i, e := range entries {
		switch key := [2]string{e.To, e.DedupKey}; {
		case e.DedupKey == "":
		case first[key]:
			known[i] = true
		default:
			first[key] = true
			asked = append(asked, e)
		}
	}
	if len(asked) < 2 {
		return nil, nil
	}
	fresh, err := s.dialect.outbox.dedupMany(ctx, own, s.clock(), asked)
	for i, e := range entries {
		if e.DedupKey != "" && !fresh[[2]string{e.To, e.DedupKey}] {
			known[i] = true
		}
	}
	return known, err
}

// freshKeys runs a statement that returns the destinations and keys it has remembered.
func freshKeys(ctx context.Context, x *session, query string, args ...any) (map[[2]string]bool, error) {
	fresh := map[[2]string]bool{}
	err := each(ctx, x, query, args, func(scan func(...any) error) error {
		var key [2]string
		err := scan(&key[0], &key[1])
		fresh[key] = true
		return err
	})
	return fresh, err
}

// execer returns how to run statements in tx.
func (s *Store) execer(tx outbox.Tx) (execer, error) {
	switch own := tx.(type) {
	case *sql.Tx:
		if own != nil {
			return s.in(own), nil
		}
	case execer:
		if s.dialect.base.foreignTx {
			return own, nil
		}
	}
	return nil, fmt.Errorf("%w: a %T; sqlstore needs the *sql.Tx of its database", outbox.ErrForeignTx, tx)
}

// inChunks calls insert with at most n rows at a time.
func inChunks(rows []outbox.Entry, n int, insert func([]outbox.Entry) error) error {
	for len(rows) > 0 {
		n := min(n, len(rows))
		if err := insert(rows[:n]); err != nil {
			return fmt.Errorf("insert %d messages: %w", n, err)
		}
		rows = rows[n:]
	}
	return nil
}

// messageArgs are the columns of a waiting message: destination, shard, lane,
// message, topic, key, headers, payload.
func messageArgs(args []any, e outbox.Entry) ([]any, error) {
	headers, err := encodeHeaders(e.Headers)
	if err != nil {
		return nil, err
	}
	return append(args, e.To, e.Shard, e.Lane, e.ID, e.Topic, e.Key, headers, e.Payload), nil
}

func encodeHeaders(h map[string]string) ([]byte, error) {
	if len(h) == 0 {
		return nil, nil
	}
	return json.Marshal(h)
}

func decodeHeaders(b []byte) (map[string]string, error) {
	if len(b) == 0 {
		return nil, nil
	}
	var h map[string]string
	if err := json.Unmarshal(b, &h); err != nil {
		return nil, fmt.Errorf("headers: %w", err)
	}
	return h, nil
}
