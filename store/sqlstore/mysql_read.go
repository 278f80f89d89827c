package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/tectari/dovetail/outbox"
)

// Reading, and why nothing is skipped and the order of a key holds.
//
// An id is given when a row is inserted and the row is seen when its transaction
// commits, so a reader passes ids that show later: holes. Every read looks into all
// holes and at what is new in one statement, so in one snapshot, and returns it by
// id. Where producers of a key wait for each other, the later one has the higher id
// and commits later: a snapshot that shows it shows the earlier one too, and the
// earlier one comes first.
//
// A hole is forgotten when nobody can fill it any more. A transaction that was
// given an id inserts its row at once, within one statement, and from then on until
// it ends the row is in the table, seen by whoever reads what is not committed.
// So where no row is, and no statement that inserts has been running for as long as
// the hole is old, the id was given back, or its row is delivered and gone. How
// long a transaction stays open does not matter, and what other transactions do
// does not either.
const (
	// holeGrace is how old a hole is before it may be forgotten: far longer than
	// from an id to its row, where mysqlInserting cannot see the producers.
	holeGrace = 2 * time.Second
	// Holes are looked at this often, or when so many have become old enough.
	lookEvery = time.Second
	lookAt    = 64
	// mostRanges bounds the ranges that one statement reads besides what is new.
	mostRanges = 256
	// One statement looks at no fewer and no more rows than these, to find those that
	// are wanted.
	leastScanned = 100
	mostScanned  = 10_000
)

// mysqlInserting counts the statements that have been storing messages for a second
// or more. It sees those of the same account, and with the PROCESS privilege all.
const mysqlInserting = `
SELECT count(*) FROM information_schema.processlist
WHERE time >= 1 AND db = database() AND info LIKE 'INSERT INTO dovetail_message (%'`

// A mysqlReader is what a position remembers besides its id. It is not changed.
type mysqlReader struct {
	holes  mysqlHoles
	looked time.Time // when the holes were last looked at
	left   int       // how many old ones were left then
}

// A mysqlPage is one ReadMessages.
type mysqlPage struct {
	mysqlReader
	store *Store
	query outbox.ReadQuery
	masks map[string]uint64
	after int64
	page  outbox.Page
}

// mysqlRead reads what waits.
func mysqlRead(ctx context.Context, s *Store, q outbox.ReadQuery) (outbox.Page, error) {
	p := mysqlPage{store: s, query: q, after: q.Position.After, masks: map[string]uint64{}}
	p.mysqlReader, _ = q.Position.State.(mysqlReader) // none: the beginning
	for _, w := range q.Wants {
		p.masks[w.Destination] |= w.Shards
	}
	if err := p.look(ctx); err != nil {
		return outbox.Page{Position: q.Position}, fmt.Errorf("look for messages that were rolled back: %w", err)
	}
	for limit := max(q.Limit, leastScanned); ; {
		after, holes := p.after, p.holes
		if err := p.read(ctx, limit); err != nil {
			return outbox.Page{Position: q.Position}, err
		}
		if len(p.page.Entries) > 0 || !p.page.More {
			break
		}
		// Nothing that is wanted. Where holes that are read as one range hold more than
		// a page of what was seen before, only a larger page gets past it.
		if stuck := p.after == after && len(p.holes) == len(holes); stuck || limit < mostScanned {
			limit *= 4
		}
	}
	p.page.Position = outbox.Position{After: p.after, State: p.mysqlReader}
	return p.page, nil
}

// read looks at up to limit rows.
func (p *mysqlPage) read(ctx context.Context, limit int) error {
	ranges := p.holes.within(mostRanges)
	args := make([]any, 0, 2*mysqlWanted*len(p.query.Wants)+2*len(ranges)+2)
	for range mysqlWanted {
		for _, w := range p.query.Wants {
			args = append(args, w.Destination, int64(w.Shards)) // #nosec G115 -- a mask
		}
	}
	args = append(args, p.after)
	for _, r := range ranges {
		args = append(args, r.from, r.to)
	}
	rows, err := p.store.read().QueryContext(ctx, mysqlWaiting(len(p.query.Wants), len(ranges)), append(args, limit)...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err is returned below
	var (
		seen  []mysqlSeen
		large []int // of the entries
		n     int
		bytes int64
	)
	p.page.More = false
	for rows.Next() {
		n++
		e, age, size, err := scanWaiting(rows)
		if err != nil {
			return err
		}
		if e.Seq <= p.after && !p.holes.has(e.Seq) {
			continue // seen before: it lies between holes that were read as one
		}
		if p.masks[e.To]>>e.Shard&1 == 1 {
			if len(p.page.Entries) == p.query.Limit || bytes > int64(p.query.Bytes) {
				p.page.More = true
				break // not examined: nor is what comes after it
			}
			bytes += size
			if e.Payload == nil {
				large = append(large, len(p.page.Entries))
			}
			p.page.Entries = append(p.page.Entries, e)
		}
		seen = append(seen, mysqlSeen{e.Seq, age})
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if err := rows.Close(); err != nil { // before its connection is wanted again
		return err
	}
	p.page.More = p.page.More || n == limit
	p.holes, p.after = p.holes.passed(p.after, seen, time.Now())
	return p.fill(ctx, large)
}

// mysqlWanted is how often mysqlWaiting asks whether a row is wanted.
const mysqlWanted = 4

// mysqlWaiting reads the waiting rows after an id and in so many ranges. Of those
// that none of so many wants asks for, little more is read than that they are
// there. EXISTS without a condition is answered once: while nothing is parked, no
// lane is looked up. FORCE INDEX: never by a scan of the table.
func mysqlWaiting(wants, ranges int) string {
	const one = "m.destination = ? AND (cast(? AS SIGNED) >> m.shard) & 1 = 1"
	wanted := "(" + strings.Repeat(one+" OR ", wants-1) + one + ")"
	return `
SELECT m.id, (` + mysqlNow + `) - m.created, m.created, m.destination, m.shard, m.lane, m.message, m.topic, m.key, m.size,
  CASE WHEN ` + wanted + ` THEN m.headers END, CASE WHEN ` + wanted + ` THEN m.payload END,
  m.lane <> '' AND EXISTS (SELECT 1 FROM dovetail_parked) AND ` + wanted + ` AND ` + mysqlWaits + `,
  m.lane <> '' AND EXISTS (SELECT 1 FROM dovetail_parked) AND ` + wanted + ` AND ` + mysqlStops + `
FROM dovetail_message m FORCE INDEX (PRIMARY)
WHERE m.id > ?` + strings.Repeat(" OR m.id BETWEEN ? AND ?", ranges) + `
ORDER BY m.id LIMIT ?`
}

// scanWaiting reads a row of mysqlWaiting.
func scanWaiting(rows *sql.Rows) (e outbox.Entry, age time.Duration, size int64, err error) {
	var millis, created, waits, stops int64
	var headers []byte
	err = rows.Scan(&e.Seq, &millis, &created, &e.To, &e.Shard, &e.Lane, &e.ID, &e.Topic, &e.Key, &size,
		&headers, &e.Payload, &waits, &stops)
	if err != nil {
		return e, 0, 0, err
	}
	e.Enqueued, e.Waits, e.Stops = fromMillis(created), waits != 0, stops != 0
	e.Headers, err = decodeHeaders(headers)
	return e, time.Duration(millis) * time.Millisecond, size, err
}

// fill reads the large payloads of those entries. What is gone meanwhile was
// settled, and is left out.
func (p *mysqlPage) fill(ctx context.Context, large []int) error {
	if len(large) == 0 {
		return nil
	}
	args := make([]any, len(large))
	at := make(map[int64]int, len(large))
	for i, n := range large {
		args[i] = p.page.Entries[n].Seq
		at[p.page.Entries[n].Seq] = n
	}
	query := `SELECT id, large FROM dovetail_message FORCE INDEX (PRIMARY) WHERE id IN (` + questionMarks(1, len(args)) + `)`
	err := each(ctx, p.store.read(), query, args, func(scan func(...any) error) error {
		var id int64
		var payload []byte
		err := scan(&id, &payload)
		p.page.Entries[at[id]].Payload = payload
		delete(at, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("read large payloads: %w", err)
	}
	if len(at) > 0 {
		kept := p.page.Entries[:0]
		for _, e := range p.page.Entries {
			if _, gone := at[e.Seq]; !gone {
				kept = append(kept, e)
			}
		}
		p.page.Entries = kept
	}
	return nil
}

// look forgets the holes that nobody can fill any more.
func (p *mysqlPage) look(ctx context.Context) error {
	now := time.Now()
	old := p.holes.before(now.Add(-holeGrace))
	if len(old) == 0 || now.Sub(p.looked) < lookEvery && len(old)-p.left < lookAt {
		return nil
	}
	p.looked, p.left = now, len(old)
	tx, err := p.store.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadUncommitted})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // it has written nothing
	var inserting int
	if err := tx.QueryRowContext(ctx, mysqlInserting).Scan(&inserting); err != nil {
		return err
	}
	if inserting > 0 {
		return nil // one of them may have the id and not the row yet
	}
	// After that: a row that was on its way is there now.
	var gone mysqlHoles
	for part := old; len(part) > 0; part = part[min(len(part), lookAt):] {
		empty, err := emptyHoles(ctx, tx, part[:min(len(part), lookAt)])
		if err != nil {
			return err
		}
		gone = append(gone, empty...)
	}
	p.holes, p.left = p.holes.without(gone), len(old)-len(gone)
	return nil
}

// emptyHoles returns those in which there is no row, committed or not.
func emptyHoles(ctx context.Context, tx queryer, holes mysqlHoles) (mysqlHoles, error) {
	const one = "SELECT ? AS hole, EXISTS (SELECT 1 FROM dovetail_message FORCE INDEX (PRIMARY) WHERE id BETWEEN ? AND ?) AS held"
	args := make([]any, 0, 3*len(holes))
	for i, r := range holes {
		args = append(args, i, r.from, r.to)
	}
	query := strings.Repeat(one+" UNION ALL ", len(holes)-1) + one
	held := make([]bool, len(holes))
	err := each(ctx, tx, query, args, func(scan func(...any) error) error {
		var hole int
		var row bool
		err := scan(&hole, &row)
		held[hole] = row
		return err
	})
	var out mysqlHoles
	for i, r := range holes {
		if !held[i] {
			out = append(out, r)
		}
	}
	return out, err
}
