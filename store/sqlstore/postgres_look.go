package sqlstore

import (
	"context"
	"database/sql"
	"strconv"

	"github.com/tectari/dovetail/outbox"
)

const postgresReadQuery = `
SELECT id, created, destination, shard, lane, message, topic, key, headers, payload, size, before
FROM dovetail_read($1, $2, $3::text::bigint[], $4::text::bigint[], $5::text::bigint[], $6::text::bigint[], $7::text::bigint[], $8,
  $9::text::text[], $10::text::bigint[])`

// A look is one call of dovetail_read.
type look struct {
	snapshot snapshot
	number   uint64
	rows     []glance
}

// A glance is a row that a look saw. One that is not wanted has a Seq only.
type glance struct {
	outbox.Entry
	wanted bool
	large  int // the size of a payload that did not come with it
}

// lookOnce calls dovetail_read.
func lookOnce(ctx context.Context, r *pgReader, after int64, q question) (look, error) {
	var l look
	lo, hi := make([]int64, len(q.spans)), make([]int64, len(q.spans))
	for i, s := range q.spans {
		lo[i], hi[i] = s.lo, s.hi
	}
	rows, err := r.store.read().QueryContext(ctx, postgresReadQuery, after, r.most, postgresNumbers(lo), postgresNumbers(hi), postgresNumbers(q.of),
		postgresNumbers(q.owners), postgresNumbers(q.waits), q.number, r.names, r.masks)
	if err != nil {
		return l, err
	}
	defer func() { _ = rows.Close() }() // rows.Err is returned below
	known := map[string]string{}
	for rows.Next() {
		if l.snapshot.xmax == 0 {
			if err := l.head(rows); err != nil {
				return l, err
			}
			continue
		}
		if len(l.rows) == cap(l.rows) { // a busy queue fills the page, a quiet one does not
			l.rows = append(make([]glance, 0, min(max(16, 8*len(l.rows)), max(r.most, 2*len(l.rows)))), l.rows...)
		}
		l.rows = append(l.rows, glance{})
		if err := l.rows[len(l.rows)-1].scan(rows, known); err != nil {
			return l, err
		}
	}
	return l, rows.Err()
}

// head reads the first row of a look: its snapshot and transaction number.
func (l *look) head(rows *sql.Rows) error {
	var snapshot string
	var number sql.NullString
	var skip [10]sql.RawBytes
	err := rows.Scan(&skip[0], &skip[1], &skip[2], &skip[3], &skip[4], &snapshot, &number, &skip[5], &skip[6], &skip[7], &skip[8], &skip[9])
	if err != nil {
		return err
	}
	if l.snapshot, err = parseSnapshot(snapshot); err != nil || !number.Valid {
		return err
	}
	l.number, err = strconv.ParseUint(number.String, 10, 64)
	return err
}

// scan reads a row. known holds the names of destinations, of which there are few.
func (g *glance) scan(rows *sql.Rows, known map[string]string) error {
	var (
		created, large, before    sql.NullInt64
		destination, lane, header sql.RawBytes
	)
	err := rows.Scan(&g.Seq, &created, &destination, &g.Shard, &lane, &g.ID, &g.Topic, &g.Key, &header, &g.Payload, &large, &before)
	if err != nil || destination == nil {
		return err // a row without destination is not wanted
	}
	g.wanted, g.large = true, int(large.Int64)
	g.Enqueued, g.Waits, g.Stops = fromMillis(created.Int64), before.Int64&1 != 0, before.Int64&2 != 0
	if g.Lane = g.Key; lane != nil {
		g.Lane = string(lane)
	}
	name, ok := known[string(destination)]
	if !ok {
		name = string(destination)
		known[name] = name
	}
	g.To = name
	g.Headers, err = decodeHeaders(header)
	return err
}
