package outboxtest

import (
	"database/sql"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/internal/integration/servers"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/sqlstore"
)

// planBatch is how many messages a call of TestPlansPostgres is about.
const planBatch = 1000

// A planner counts what calls of a store read, on the one connection that it has.
type planner struct {
	t     *testing.T
	db    *sql.DB
	store *sqlstore.Store
}

// reads returns how many rows of a table a call looked at, and how many of them by
// scans of the whole table.
func (p planner) reads(table string, call func()) (rows, scanned int) {
	p.t.Helper()
	p.exec("BEGIN") // the pool has one connection, so the call is part of this
	before, scannedBefore := p.counters(table)
	call()
	rows, scanned = p.counters(table)
	p.exec("COMMIT")
	return rows - before, scanned - scannedBefore
}

func (p planner) counters(table string) (rows, scanned int) {
	p.t.Helper()
	const query = `SELECT seq_tup_read + coalesce(idx_tup_fetch, 0), seq_tup_read FROM pg_stat_xact_user_tables WHERE relid = $1::text::regclass`
	require.NoError(p.t, p.db.QueryRow(query, table).Scan(&rows, &scanned))
	return rows, scanned
}

func (p planner) exec(query string, args ...any) {
	p.t.Helper()
	_, err := p.db.Exec(query, args...)
	require.NoError(p.t, err, query)
}

// fill makes the table hold n messages of a thousand keys.
func (p planner) fill(n int) {
	p.t.Helper()
	p.exec(`
INSERT INTO dovetail_message (created, destination, shard, lane, message, topic, key, headers, payload)
SELECT 1, 'a', n % 64, NULL, 'm' || n, '', 'k' || n % 1000, NULL, 'payload'
FROM generate_series((SELECT count(*) FROM dovetail_message) + 1, $1::bigint) n`, n)
}

// TestPlansPostgres: whatever the size of the queue, and whatever the statistics
// say of it, a call reads no more than twice the messages that it is about, and
// none by a scan of the table.
func TestPlansPostgres(t *testing.T) {
	t.Parallel()
	db := servers.OpenPostgres(t, servers.Postgres(t))
	db.SetMaxOpenConns(1)
	p := planner{t, db, sqlstore.New(db, sqlstore.Postgres)}
	require.NoError(t, p.store.Migrate(t.Context()))
	p.exec("ANALYZE dovetail_message, dovetail_parked")
	for _, n := range []int{10, 10_000, 1_000_000} {
		p.fill(n)
		p.calls(fmt.Sprint(n, " rows, statistics of fewer"), n)
		p.fill(n)
		p.exec("ANALYZE dovetail_message, dovetail_parked")
		p.calls(fmt.Sprint(n, " rows, fresh statistics"), n)
	}
	p.fill(1_000_000)
	p.exec("DELETE FROM dovetail_message WHERE id < (SELECT max(id) FROM dovetail_message) - 19")
	p.calls("20 rows, statistics of 1000000", 20)
}

// calls makes every call of the hot path and checks what it read. It leaves fewer
// messages.
func (p planner) calls(when string, n int) {
	p.t.Helper()
	check := func(what string, table string, call func()) {
		p.t.Helper()
		rows, scanned := p.reads(table, call)
		require.LessOrEqual(p.t, rows, 2*planBatch, "%s: %s", when, what)
		require.Zero(p.t, scanned, "%s: %s scans the table", when, what)
	}
	read := func(at outbox.Position) (page outbox.Page) {
		p.t.Helper()
		var err error
		page, err = p.store.ReadMessages(p.t.Context(), outbox.ReadQuery{
			Position: at, Wants: []outbox.Want{{Destination: "a", Shards: ^uint64(0)}}, Limit: planBatch, Bytes: 1 << 30,
		})
		require.NoError(p.t, err)
		return page
	}
	var lowest, highest int64
	require.NoError(p.t, p.db.QueryRow("SELECT min(id), max(id) FROM dovetail_message").Scan(&lowest, &highest))

	var page outbox.Page
	check("reading from the beginning", "dovetail_message", func() { page = read(outbox.Position{}) })
	require.Len(p.t, page.Entries, min(n, planBatch), "%s", when)
	check("reading from the middle", "dovetail_message", func() { read(outbox.Position{After: (lowest + highest) / 2}) })
	check("reading at the end", "dovetail_message", func() { page = read(outbox.Position{After: highest}) })
	require.Empty(p.t, page.Entries)

	// Ids that are missing here and there are looked into.
	p.exec("DELETE FROM dovetail_message WHERE id > $1 AND id <= $1 + 500 AND id % 5 = 0", highest-600)
	page = read(outbox.Position{After: highest - 600})
	require.NotNil(p.t, page.Position.State)
	check("reading what was missing", "dovetail_message", func() { page = read(page.Position) })
	require.Empty(p.t, page.Entries)
	check("reading what was missing once more", "dovetail_message", func() { page = read(page.Position) })

	var done []int64
	for _, e := range read(outbox.Position{}).Entries {
		done = append(done, e.Seq)
	}
	check("acknowledging", "dovetail_message", func() {
		_, err := p.store.SettleMessages(p.t.Context(), outbox.Settlement{Done: done})
		require.NoError(p.t, err)
	})
}
