package sqlstore

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/tectari/dovetail/outbox"
)

// postgresRows is how many messages one statement stores at most.
const postgresRows = 2000

// The lane of a message is its key, or something else, or none.
const postgresColumns = `(created, destination, shard, lane, message, topic, key, headers, payload)`

// postgresOne stores one waiting entry.
const postgresOne = `
INSERT INTO dovetail_message ` + postgresColumns + `
VALUES (coalesce($1::bigint, ` + postgresNow + `), $2, $3, nullif($4::text, $7::text), $5, $6, $7, $8, $9)`

// postgresMany stores any number of entries in the order of the arrays.
const postgresMany = `
INSERT INTO dovetail_message ` + postgresColumns + `
SELECT coalesce($1::bigint, ` + postgresNow + `), t.destination, t.shard, nullif(t.lane, t.key), t.message, t.topic, t.key, t.headers, t.payload
FROM unnest($2::text::text[], $3::text::smallint[], $4::text::text[], $5::text::text[], $6::text::text[], $7::text::text[],
  $8::text::bytea[], $9::text::bytea[]) AS t(destination, shard, lane, message, topic, key, headers, payload)`

// postgresCopyAbove is how many messages are worth a COPY, which takes round trips of
// its own.
const postgresCopyAbove = 50

// postgresCopied are the columns of a COPY: the others have defaults.
var postgresCopied = []string{"destination", "shard", "lane", "message", "topic", "key", "headers", "payload"}

// postgresCopy stores waiting entries by COPY.
func postgresCopy(ctx context.Context, x pgxCopyTx, rows []outbox.Entry) error {
	values := make([][]any, len(rows))
	for i, e := range rows {
		row, err := messageArgs(make([]any, 0, len(postgresCopied)), e)
		if err != nil {
			return err
		}
		if e.Lane == e.Key {
			row[2] = nil
		}
		values[i] = row
	}
	if err := x.copyIn(ctx, "dovetail_message", postgresCopied, values); err != nil {
		return fmt.Errorf("copy %d messages: %w", len(rows), err)
	}
	return nil
}

// postgresInsert stores waiting entries.
func postgresInsert(ctx context.Context, x execer, clock any, rows []outbox.Entry) error {
	if c, ok := x.(pgxCopyTx); ok && clock == nil && len(rows) >= postgresCopyAbove {
		return postgresCopy(ctx, c, rows)
	}
	return inChunks(rows, postgresRows, func(rows []outbox.Entry) error {
		if len(rows) == 1 {
			args, err := messageArgs([]any{clock}, rows[0])
			if err != nil {
				return err
			}
			_, err = x.exec(ctx, postgresOne, args...)
			return err
		}
		headers := make([][]byte, len(rows))
		for i, e := range rows {
			var err error
			if headers[i], err = encodeHeaders(e.Headers); err != nil {
				return err
			}
		}
		column := func(of func(outbox.Entry) string) string {
			return postgresArray(rows, func(b *strings.Builder, e outbox.Entry) { quoted(b, of(e)) })
		}
		_, err := x.exec(ctx, postgresMany, clock,
			column(func(e outbox.Entry) string { return e.To }),
			postgresArray(rows, func(b *strings.Builder, e outbox.Entry) { b.WriteString(strconv.Itoa(e.Shard)) }),
			column(func(e outbox.Entry) string { return e.Lane }),
			column(func(e outbox.Entry) string { return e.ID }),
			column(func(e outbox.Entry) string { return e.Topic }),
			column(func(e outbox.Entry) string { return e.Key }),
			postgresArray(headers, postgresBytes),
			postgresArray(rows, func(b *strings.Builder, e outbox.Entry) { postgresBytes(b, e.Payload) }),
		)
		return err
	})
}

// postgresBytes writes bytes as an element of an array literal; nil is NULL.
func postgresBytes(b *strings.Builder, p []byte) {
	if p == nil {
		b.WriteString("NULL")
		return
	}
	b.WriteString(`"\\x`)
	var chunk [512]byte
	for len(p) > 0 {
		n := hex.Encode(chunk[:], p[:min(len(p), len(chunk)/2)])
		b.Write(chunk[:n])
		p = p[n/2:]
	}
	b.WriteByte('"')
}

// postgresLater stores an entry among the parked ones if it is not due yet, else
// among the waiting ones. Both take their id from one sequence.
const postgresLater = `
WITH e AS (
  SELECT coalesce($1::bigint, ` + postgresNow + `) AS now, $2::text AS destination, $3::smallint AS shard, $4::text AS lane,
    $5::text AS message, $6::text AS topic, $7::text AS key, $8::bytea AS headers, $9::bytea AS payload, $10::bigint AS due
), later AS (
  INSERT INTO dovetail_parked (id, created, destination, shard, lane, message, topic, key, headers, payload,
    state, due, parked, attempts, replays, class, code, field, error)
  SELECT nextval('dovetail_message_id'), now, destination, shard, lane, message, topic, key, headers, payload,
    1, due, now, 0, 0, '', '', '', ''
  FROM e WHERE due > now
)
INSERT INTO dovetail_message ` + postgresColumns + `
SELECT now, destination, shard, nullif(lane, key), message, topic, key, headers, payload FROM e WHERE due <= now`

// postgresSchedule stores an entry that may be due later.
func postgresSchedule(ctx context.Context, x execer, clock any, e outbox.Entry) error {
	args, err := messageArgs([]any{clock}, e)
	if err != nil {
		return err
	}
	_, err = x.exec(ctx, postgresLater, append(args, millis(e.Due))...)
	return err
}

// postgresDone deletes waiting entries. Outside of a transaction it does not wait
// for the disk: after a crash of the server what was acknowledged last may be
// delivered again, and nothing is lost.
func postgresDone(ctx context.Context, x *session, seqs []int64) (n int64, err error) {
	err = x.QueryRowContext(ctx, `SELECT dovetail_done($1::text::bigint[], $2)`, postgresNumbers(seqs), x.tx == nil).Scan(&n)
	return n, err
}

// postgresPark moves entries to the parked ones, or changes them there.
func postgresPark(ctx context.Context, x *session, clock any, parkings string) (n int64, err error) {
	err = x.QueryRowContext(ctx, `SELECT dovetail_park($1::bigint, $2::text::jsonb)`, clock, parkings).Scan(&n)
	return n, err
}

// postgresNumbers is a list of numbers as an array literal.
func postgresNumbers(numbers []int64) string {
	return postgresArray(numbers, func(b *strings.Builder, n int64) {
		var digits [20]byte
		b.Write(strconv.AppendInt(digits[:0], n, 10))
	})
}

// postgresDedup remembers deduplication keys and returns those that were not known. In one order, so that two transactions do not wait for each other.
const postgresDedup = `
INSERT INTO dovetail_dedup (destination, dedup, message, seen)
SELECT t.destination, t.dedup, t.message, coalesce($1::bigint, ` + postgresNow + `)
FROM unnest($2::text::text[], $3::text::text[], $4::text::text[]) AS t(destination, dedup, message)
ORDER BY t.destination, t.dedup
ON CONFLICT (destination, dedup) DO NOTHING
RETURNING destination, dedup`

func postgresDedupMany(ctx context.Context, x *session, clock any, entries []outbox.Entry) (map[[2]string]bool, error) {
	column := func(of func(outbox.Entry) string) string {
		return postgresArray(entries, func(b *strings.Builder, e outbox.Entry) { quoted(b, of(e)) })
	}
	return freshKeys(ctx, x, postgresDedup, clock,
		column(func(e outbox.Entry) string { return e.To }), column(func(e outbox.Entry) string { return e.DedupKey }), column(func(e outbox.Entry) string { return e.ID }))
}
