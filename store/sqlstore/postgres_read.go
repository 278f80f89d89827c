package sqlstore

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tectari/dovetail/outbox"
)

// A pgState is what a position keeps.
type pgState struct {
	holes  holes
	pruned time.Time // when it was last looked whether the owners are writers
}

// Who stores messages is asked only when holes gather.
const (
	pruneAbove = 200
	pruneEvery = time.Second
)

// postgresWriters lists who has stored messages, or is about to, and is running:
// to insert is to hold this lock until the end of the transaction.
const postgresWriters = `
SELECT DISTINCT x.transactionid::text
FROM pg_locks l JOIN pg_locks x ON x.virtualtransaction = l.virtualtransaction AND x.locktype = 'transactionid' AND x.granted AND x.mode = 'ExclusiveLock'
WHERE l.locktype = 'relation' AND l.relation = 'dovetail_message'::regclass AND l.mode = 'RowExclusiveLock'
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())`

func (r *pgReader) writers(ctx context.Context) (map[uint32]bool, error) {
	out := map[uint32]bool{}
	err := each(ctx, r.store.read(), postgresWriters, nil, func(scan func(...any) error) error {
		var text string
		if err := scan(&text); err != nil {
			return err
		}
		x, err := strconv.ParseUint(text, 10, 32)
		out[uint32(x)] = true
		return err
	})
	return out, err
}

// A pgReader does one ReadMessages.
type pgReader struct {
	store *Store
	q     outbox.ReadQuery
	names string
	masks string
	// most is how many rows a look sees at most.
	most int
	// look calls dovetail_read.
	look func(ctx context.Context, r *pgReader, after int64, q question) (look, error)
}

// farthest is how many rows that are not wanted one look passes at most.
const farthest = 16_000

// postgresRead reads what waits. Ids become visible in any order: what was missed
// is kept in the position; see holes.
func postgresRead(ctx context.Context, s *Store, q outbox.ReadQuery) (outbox.Page, error) {
	r := &pgReader{store: s, q: q, most: max(q.Limit, 1), look: lookOnce}
	r.names = postgresArray(q.Wants, func(b *strings.Builder, w outbox.Want) { quoted(b, w.Destination) })
	r.masks = postgresArray(q.Wants, func(b *strings.Builder, w outbox.Want) {
		b.WriteString(strconv.FormatInt(int64(w.Shards), 10)) // #nosec G115 -- a mask
	})
	return r.read(ctx)
}

// read makes steps until the page is full or there is no more.
func (r *pgReader) read(ctx context.Context) (outbox.Page, error) {
	began, whole := r.q.Position, r.q.Limit
	var entries []outbox.Entry
	for {
		page, err := r.page(ctx)
		if err != nil {
			return outbox.Page{Position: began}, err
		}
		if entries == nil {
			entries = page.Entries
		} else {
			entries = append(entries, page.Entries...)
		}
		r.q.Limit -= len(page.Entries)
		for _, e := range page.Entries {
			r.q.Bytes -= len(e.Payload)
		}
		// Where messages of others lie between ours, they are passed here, in
		// strides.
		if !page.More || r.q.Limit <= 0 || r.q.Bytes <= 0 {
			page.Entries = entries
			return page, nil
		}
		r.q.Position = page.Position
		if len(page.Entries) < r.most/8 {
			r.most = min(4*r.most, max(farthest, whole))
		}
	}
}

// page makes one step.
func (r *pgReader) page(ctx context.Context) (outbox.Page, error) {
	state, _ := r.q.Position.State.(pgState)
	var writers map[uint32]bool
	if state.holes.waiting() > pruneAbove && time.Since(state.pruned) > pruneEvery {
		var err error
		if writers, err = r.writers(ctx); err != nil {
			return outbox.Page{}, fmt.Errorf("look who stores messages: %w", err)
		}
		state.pruned = time.Now()
	}
	seen, err := r.look(ctx, r, r.q.Position.After, state.holes.question())
	if err != nil {
		return outbox.Page{}, err
	}
	rows := seen.rows
	more := len(rows) >= r.most
	if bySeq := func(a, b glance) int { return cmp.Compare(a.Seq, b.Seq) }; !slices.IsSortedFunc(rows, bySeq) {
		slices.SortFunc(rows, bySeq)
	}
	page := outbox.Page{More: more}
	end := int64(math.MaxInt64)
	if n := r.cut(rows); n < len(rows) {
		rows, page.More = rows[:n], true
	}
	if page.More && len(rows) > 0 {
		end = rows[len(rows)-1].Seq
	}
	ids := make([]int64, len(rows))
	for i, row := range rows {
		ids[i] = row.Seq
	}
	page.Position.After = r.q.Position.After
	if n := len(ids); n > 0 {
		page.Position.After = max(page.Position.After, ids[n-1])
	}
	state.holes = state.holes.after(seen.snapshot, seen.number, ids, r.q.Position.After, end)
	if writers != nil {
		state.holes = state.holes.prune(writers)
	}
	if len(state.holes) > 0 {
		page.Position.State = state
	}
	page.Entries, err = r.entries(ctx, rows)
	return page, err
}

// cut says how many of the rows the page may hold.
func (r *pgReader) cut(rows []glance) int {
	wanted, size := 0, 0
	for i, row := range rows {
		if i == r.most || wanted == r.q.Limit || size > r.q.Bytes {
			return i
		}
		if row.wanted {
			wanted++
			size += len(row.Payload) + row.large
		}
	}
	return len(rows)
}

// entries returns the wanted rows, with the large payloads that the look left out.
func (r *pgReader) entries(ctx context.Context, rows []glance) ([]outbox.Entry, error) {
	var large []int64
	out := make([]outbox.Entry, 0, len(rows))
	for _, row := range rows {
		if !row.wanted {
			continue
		}
		if row.large > 0 {
			large = append(large, row.Seq)
		}
		out = append(out, row.Entry)
	}
	if large == nil {
		return out, nil
	}
	payloads := map[int64][]byte{}
	err := each(ctx, r.store.read(), `SELECT id, payload FROM dovetail_message WHERE id = ANY ($1::text::bigint[])`,
		[]any{postgresNumbers(large)}, func(scan func(...any) error) error {
			var id int64
			var payload []byte
			err := scan(&id, &payload)
			payloads[id] = payload
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read large payloads: %w", err)
	}
	for i := range out {
		if out[i].Payload == nil {
			out[i].Payload = payloads[out[i].Seq]
		}
	}
	// What is gone meanwhile was delivered by another relay.
	return slices.DeleteFunc(out, func(e outbox.Entry) bool { return e.Payload == nil }), nil
}
