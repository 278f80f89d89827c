package sqlstore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tectari/dovetail/outbox"
)

// A pgModel is Postgres as the reader sees it: transactions with numbers, a
// sequence, and snapshots. Of the transactions one at a time holds a key.
type pgModel struct {
	t      *rapid.T
	xid    uint64 // the last that was given
	ended  uint64 // the highest that ended
	id     int64
	txs    map[int]*pgModelTx
	keys   map[string]int // who holds it
	rows   map[int64]pgModelRow
	serial int
	quiet  bool
}

type pgModelTx struct {
	xid  uint64
	rows map[int64]pgModelRow
	keys []string
}

type pgModelRow struct {
	key  string
	want bool
}

func (m *pgModel) number(tx *pgModelTx) {
	if tx.xid == 0 {
		m.xid++
		tx.xid = m.xid
	}
}

// step lets something happen in the database.
func (m *pgModel) step() {
	open := make([]int, 0, len(m.txs))
	for n := range m.txs {
		open = append(open, n)
	}
	slices.Sort(open)
	if len(open) == 0 || (len(open) < 6 && rapid.IntRange(0, 3).Draw(m.t, "begin") == 0) {
		m.serial++
		m.txs[m.serial] = &pgModelTx{rows: map[int64]pgModelRow{}}
		return
	}
	n := rapid.SampledFrom(open).Draw(m.t, "tx")
	tx := m.txs[n]
	switch rapid.IntRange(0, 5).Draw(m.t, "act") {
	case 0:
		m.number(tx) // it writes something of its own
	case 1, 2, 3:
		key := rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(m.t, "key")
		if holder, held := m.keys[key]; key != "" && held && holder != n {
			return // it would wait
		}
		if key != "" {
			m.keys[key] = n
			tx.keys = append(tx.keys, key)
		}
		m.number(tx) // before the id
		for range rapid.IntRange(1, 4).Draw(m.t, "messages") {
			m.id++
			tx.rows[m.id] = pgModelRow{key, rapid.IntRange(0, 4).Draw(m.t, "foreign") > 0}
		}
	case 4:
		m.end(n, true)
	case 5:
		m.end(n, rapid.Bool().Draw(m.t, "commit"))
	}
}

func (m *pgModel) end(n int, commit bool) {
	tx := m.txs[n]
	delete(m.txs, n)
	m.ended = max(m.ended, tx.xid)
	for _, key := range tx.keys {
		delete(m.keys, key)
	}
	if commit {
		maps.Copy(m.rows, tx.rows)
	}
}

// snapshot is what pg_current_snapshot says: a transaction above xmax is in
// progress too, and not listed.
func (m *pgModel) snapshot() snapshot {
	s := snapshot{xmax: m.ended + 1}
	for _, tx := range m.txs {
		if tx.xid != 0 && tx.xid < s.xmax {
			s.xip = append(s.xip, tx.xid)
		}
	}
	slices.Sort(s.xip)
	return s
}

// look is what dovetail_read does.
func (m *pgModel) look(_ context.Context, r *pgReader, after int64, q question) (look, error) {
	l := look{snapshot: m.snapshot()}
	changed := map[int64]bool{-1: true}
	for i, x := range q.owners {
		if x := uint64(x); x < l.snapshot.xmax && !l.snapshot.running(x) {
			changed[q.waits[i]] = true
		}
	}
	var ids []int64
	for id := range m.rows {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	take := func(most int, in func(int64) bool) {
		for _, id := range ids {
			if in(id) && most > 0 {
				most--
				l.rows = append(l.rows, m.glance(id))
			}
		}
	}
	take(r.most+1, func(id int64) bool {
		for i, s := range q.spans {
			if changed[q.of[i]] && s.lo <= id && id <= s.hi {
				return true
			}
		}
		return false
	})
	take(r.most, func(id int64) bool { return id > after })
	if q.number {
		m.xid++
		l.number, m.ended = m.xid, m.xid
	}
	if !m.quiet {
		for range rapid.IntRange(0, 3).Draw(m.t, "meanwhile") {
			m.step()
		}
	}
	return l, nil
}

func (m *pgModel) glance(id int64) glance {
	row := m.rows[id]
	g := glance{wanted: row.want}
	g.Seq = id
	if row.want {
		g.ID, g.Key, g.Payload = fmt.Sprint(id), row.key, []byte{}
	}
	return g
}

// TestLateCommitsAreReadOnceAndInOrder lets transactions take ids, commit and roll
// back in any order, among reads: every committed row is read exactly once, each
// key in the order in which it was held, and what was rolled back is forgotten
// once those who could have filled it have ended.
func TestLateCommitsAreReadOnceAndInOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		m := &pgModel{t: rt, xid: 100, ended: 100, txs: map[int]*pgModelTx{}, keys: map[string]int{}, rows: map[int64]pgModelRow{}}
		var position outbox.Position
		read := map[int64]bool{}
		last := map[string]int64{}
		limit := rapid.SampledFrom([]int{1, 2, 5, 1000}).Draw(rt, "limit")
		once := func() (more bool) {
			r := &pgReader{q: outbox.ReadQuery{Position: position, Limit: limit, Bytes: 1 << 20}, most: limit, look: m.look}
			page, err := r.read(t.Context())
			require.NoError(rt, err)
			require.LessOrEqual(rt, len(page.Entries), limit)
			position = page.Position
			for _, e := range page.Entries {
				require.False(rt, read[e.Seq], "%d is read twice", e.Seq)
				read[e.Seq] = true
				if e.Key != "" {
					require.Less(rt, last[e.Key], e.Seq, "order of key %s", e.Key)
					last[e.Key] = e.Seq
				}
			}
			return page.More
		}
		for range rapid.IntRange(1, 80).Draw(rt, "steps") {
			if rapid.IntRange(0, 2).Draw(rt, "read") == 0 {
				once()
			} else {
				m.step()
			}
		}
		m.quiet = true
		for n := range m.txs { // all that is open ends; nothing new begins
			m.end(n, true)
		}
		for i := 0; ; i++ {
			more := once()
			if state, _ := position.State.(pgState); state.holes == nil && !more {
				break
			}
			require.Less(rt, i, 2000, "holes are left: %+v", position)
		}
		for id, row := range m.rows {
			require.Equal(rt, row.want, read[id], "row %d", id)
		}
	})
}

// TestHolesAreBounded: however many roll back while a transaction stays open that
// could own their ids, the memory is bounded, and nothing is read again for it.
func TestHolesAreBounded(t *testing.T) {
	t.Parallel()
	var h holes
	busy := snapshot{xmax: 1_000_000, xip: []uint64{5}}
	id := int64(0)
	for range 3 * mostSpans { // each read misses one id and sees the next
		h = h.after(busy, 10, []int64{id + 2}, id, id+2)
		id += 2
	}
	require.LessOrEqual(t, h.waiting(), mostSpans)
	require.LessOrEqual(t, len(h), 4, "what waits for the same transactions is one generation")
	always := 0
	for _, of := range h.question().of {
		if of == -1 {
			always++
		}
	}
	require.LessOrEqual(t, always, 2, "what waits for a transaction is not read as long as it runs")
	require.Empty(t, h.prune(map[uint32]bool{}).waiting(), "a transaction without messages keeps nothing")
	require.Equal(t, h.waiting(), h.prune(map[uint32]bool{5: true}).waiting())
}
