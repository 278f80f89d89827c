package sqlstore

import (
	"context"
	"slices"
	"strings"

	"github.com/tectari/dovetail/outbox"
)

// How much one statement inserts, in rows and in bytes of payload, and how many
// rows one deletes.
const (
	mysqlRows  = 500
	mysqlBytes = 1 << 20
	mysqlGone  = 1000
)

// mysqlSmall is how large a payload may be to be read with the page that it is in.
// It then lies in the row itself.
const mysqlSmall = 8 << 10

// mysqlInsert stores waiting entries.
func mysqlInsert(ctx context.Context, x execer, clock any, rows []outbox.Entry) error {
	const row = "(coalesce(?, " + mysqlNow + "), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
	return inChunks(rows, mysqlRows, func(rows []outbox.Entry) error {
		for len(rows) > 0 {
			n := mysqlChunk(rows)
			args := make([]any, 0, n*11)
			for _, e := range rows[:n] {
				var err error
				if args, err = messageArgs(append(args, clock), e); err != nil {
					return err
				}
				args = append(args[:len(args)-1], payloadArgs(e.Payload)...)
			}
			_, err := x.exec(ctx, mysqlInsertInto+strings.Repeat(row+", ", n-1)+row, args...)
			if err != nil {
				return err
			}
			rows = rows[n:]
		}
		return nil
	})
}

// mysqlInsertInto begins every statement that stores waiting entries.
// mysqlInserting knows them by it.
const mysqlInsertInto = "INSERT INTO dovetail_message (created, destination, shard, lane, message, topic, `key`, headers, size, payload, large) VALUES "

// mysqlChunk returns how many rows go into one statement, at least one.
func mysqlChunk(rows []outbox.Entry) int {
	size := 0
	for i, e := range rows {
		size += len(e.Payload)
		if size > mysqlBytes && i > 0 {
			return i
		}
	}
	return len(rows)
}

// payloadArgs are the columns size, payload and large.
func payloadArgs(payload []byte) []any {
	if len(payload) > mysqlSmall {
		return []any{len(payload), nil, payload}
	}
	if payload == nil {
		payload = []byte{}
	}
	return []any{len(payload), payload, nil}
}

// mysqlSchedule stores an entry among the waiting ones, for its id, and moves it
// to the parked ones if it is not due yet. The parked table gives no ids, so
// last_insert_id stays what it is.
func mysqlSchedule(ctx context.Context, x execer, clock any, e outbox.Entry) error {
	if err := mysqlInsert(ctx, x, clock, []outbox.Entry{e}); err != nil {
		return err
	}
	n, err := x.exec(ctx, `
INSERT INTO dovetail_parked (`+mysqlColumns+`, state, due, parked, attempts, replays, class, code, field, error)
SELECT m.id, m.created, m.destination, m.shard, m.lane, m.message, m.topic, m.key, m.headers, m.size, m.payload, m.large,
  1, d.due, a.now, 0, 0, '', '', '', ''
FROM (SELECT cast(? AS SIGNED) AS due) d STRAIGHT_JOIN `+mysqlClock+` a STRAIGHT_JOIN dovetail_message m
WHERE m.id = last_insert_id() AND d.due > a.now`, millis(e.Due), clock)
	if err != nil || n == 0 {
		return err
	}
	_, err = x.exec(ctx, `
DELETE m FROM (SELECT last_insert_id() AS id) d STRAIGHT_JOIN dovetail_message m ON m.id = d.id`)
	return err
}

// mysqlDone deletes waiting entries in the order of ids: of two that delete the
// same, one waits.
func mysqlDone(ctx context.Context, x *session, seqs []int64) (int64, error) {
	var found int64
	seqs = slices.Clone(seqs)
	slices.Sort(seqs)
	for part := range slices.Chunk(seqs, mysqlGone) {
		ids, err := list(part)
		if err != nil {
			return found, err
		}
		n, err := x.exec(ctx, `DELETE m FROM `+mysqlIDs+` j STRAIGHT_JOIN dovetail_message m ON m.id = j.id`, ids)
		if err != nil {
			return found, err
		}
		found += n
	}
	return found, nil
}
