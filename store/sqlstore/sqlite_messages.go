package sqlstore

import (
	"context"
	"strings"

	"github.com/tectari/dovetail/outbox"
)

// sqliteRows is how many messages one statement inserts.
const sqliteRows = 200

// sqliteInsert stores waiting entries.
func sqliteInsert(ctx context.Context, x execer, clock any, rows []outbox.Entry) error {
	const row = "(coalesce(?, " + sqliteNow + "), ?, ?, ?, ?, ?, ?, ?, ?)"
	return inChunks(rows, sqliteRows, func(rows []outbox.Entry) error {
		args := make([]any, 0, len(rows)*9)
		for _, e := range rows {
			var err error
			if args, err = messageArgs(append(args, clock), e); err != nil {
				return err
			}
		}
		_, err := x.exec(ctx, "INSERT INTO dovetail_message (created, destination, shard, lane, message, topic, key, headers, payload) VALUES "+
			strings.Repeat(row+", ", len(rows)-1)+row, args...)
		return err
	})
}

// sqliteSchedule stores an entry among the waiting ones, for its id, and moves it
// to the parked ones if it is not due yet. A parked row has its id as rowid, so
// last_insert_rowid stays what it is.
func sqliteSchedule(ctx context.Context, x execer, clock any, e outbox.Entry) error {
	if err := sqliteInsert(ctx, x, clock, []outbox.Entry{e}); err != nil {
		return err
	}
	if _, err := x.exec(ctx, `
INSERT INTO dovetail_parked (`+sqliteColumns+`, state, due, parked, attempts, replays, class, code, field, error)
SELECT `+sqliteColumns+`, 1, ?1, coalesce(?2, `+sqliteNow+`), 0, 0, '', '', '', ''
FROM dovetail_message WHERE id = last_insert_rowid() AND ?1 > coalesce(?2, `+sqliteNow+`)`, millis(e.Due), clock); err != nil {
		return err
	}
	_, err := x.exec(ctx, `
DELETE FROM dovetail_message
WHERE id = last_insert_rowid() AND EXISTS (SELECT 1 FROM dovetail_parked WHERE id = last_insert_rowid())`)
	return err
}

// sqliteRead reads what waits. SQLite has one writer at a time, so ids become
// visible in their order: nothing appears behind the position.
func sqliteRead(ctx context.Context, s *Store, q outbox.ReadQuery) (outbox.Page, error) {
	page := outbox.Page{Position: q.Position}
	// The end comes first: whatever is at or before it is visible to the read
	// that follows.
	var highest int64
	if err := s.read().QueryRowContext(ctx, `SELECT coalesce(max(id), 0) FROM dovetail_message`).Scan(&highest); err != nil {
		return page, err
	}
	if highest <= q.Position.After {
		return page, nil
	}
	args := []any{q.Position.After, highest}
	for _, w := range q.Wants {
		args = append(args, w.Destination, int64(w.Shards)) // #nosec G115 -- a mask
	}
	args = append(args, q.Limit)
	rows, err := s.read().QueryContext(ctx, sqliteWaiting(len(q.Wants)), args...)
	if err != nil {
		return page, err
	}
	defer func() { _ = rows.Close() }() // rows.Err is checked below
	size := 0
	for rows.Next() {
		if size > q.Bytes {
			page.More = true
			break
		}
		e, err := scanEntry(rows)
		if err != nil {
			return page, err
		}
		size += len(e.Payload)
		page.Entries = append(page.Entries, e)
	}
	if err := rows.Err(); err != nil {
		return outbox.Page{Position: q.Position}, err
	}
	if n := len(page.Entries); page.More || n == q.Limit {
		page.More = true
		page.Position.After = page.Entries[n-1].Seq
	} else {
		page.Position.After = highest
	}
	return page, nil
}

// sqliteWaiting reads the waiting entries of so many destinations.
func sqliteWaiting(wants int) string {
	const want = "(m.destination = ? AND (? >> m.shard) & 1 = 1)"
	return `
SELECT m.id, m.created, m.destination, m.shard, m.lane, m.message, m.topic, m.key, m.headers, m.payload,
  0, 0, 0, 0,` + sqliteBlocked + `
FROM dovetail_message m
WHERE m.id > ? AND m.id <= ? AND (` + strings.Repeat(want+" OR ", wants-1) + want + `)
ORDER BY m.id LIMIT ?`
}

// sqliteDone deletes waiting entries.
func sqliteDone(ctx context.Context, x *session, seqs []int64) (int64, error) {
	ids, err := list(seqs)
	if err != nil {
		return 0, err
	}
	return x.exec(ctx, `DELETE FROM dovetail_message WHERE id IN (SELECT value FROM json_each(?))`, ids)
}

// sqliteDedup remembers deduplication keys and returns those that were not known.
const sqliteDedup = `
INSERT INTO dovetail_dedup (destination, dedup, message, seen)
SELECT value ->> 0, value ->> 1, value ->> 2, coalesce(?1, ` + sqliteNow + `) FROM json_each(?2) WHERE true
ON CONFLICT (destination, dedup) DO NOTHING
RETURNING destination, dedup`

func sqliteDedupMany(ctx context.Context, x *session, clock any, entries []outbox.Entry) (map[[2]string]bool, error) {
	keys := make([][3]string, len(entries))
	for i, e := range entries {
		keys[i] = [3]string{e.To, e.DedupKey, e.ID}
	}
	text, err := list(keys)
	if err != nil {
		return nil, err
	}
	return freshKeys(ctx, x, sqliteDedup, clock, text)
}
