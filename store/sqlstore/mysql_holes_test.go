package sqlstore

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// A modelRow is a message in the model of a server: its id is given, then its row
// is inserted, then it is committed or rolled back, then delivered.
type modelRow struct {
	id        int64
	lane      int
	given     time.Time
	inserted  bool
	committed bool
}

// A holesModel is a server with transactions that hold the lock of one lane each,
// and a reader of it that keeps mysqlHoles as mysqlRead does.
type holesModel struct {
	now   time.Time
	next  int64
	rows  map[int64]*modelRow // what is in the table, committed or not
	open  map[int][]*modelRow // by lane: the rows of its one open transaction
	want  map[int][]int64     // by lane: what was committed
	got   map[int][]int64
	holes mysqlHoles
	after int64
}

func newHolesModel() *holesModel {
	return &holesModel{
		now: time.Unix(1_800_000_000, 0), rows: map[int64]*modelRow{}, open: map[int][]*modelRow{},
		want: map[int][]int64{}, got: map[int][]int64{},
	}
}

// give gives n consecutive ids to one statement of the lane's transaction.
func (m *holesModel) give(lane, n int) {
	for range n {
		m.next++
		m.open[lane] = append(m.open[lane], &modelRow{id: m.next, lane: lane, given: m.now})
	}
}

// insert puts the first row into the table that is not there yet.
func (m *holesModel) insert(lane int) bool {
	for _, r := range m.open[lane] {
		if !r.inserted {
			r.inserted = true
			m.rows[r.id] = r
			return true
		}
	}
	return false
}

// end ends the transaction of a lane, after its statement.
func (m *holesModel) end(lane int, commit bool) {
	for m.insert(lane) {
		continue
	}
	for _, r := range m.open[lane] {
		if r.committed = commit; commit {
			m.want[lane] = append(m.want[lane], r.id)
		} else {
			delete(m.rows, r.id)
		}
	}
	delete(m.open, lane)
}

// stalled reports whether a statement has been inserting for a second or more.
func (m *holesModel) stalled() bool {
	for _, list := range m.open {
		for _, r := range list {
			if !r.inserted && m.now.Sub(r.given) >= time.Second {
				return true
			}
		}
	}
	return false
}

// look forgets holes as mysqlPage.look does.
func (m *holesModel) look() {
	if m.stalled() {
		return
	}
	var gone mysqlHoles
	for _, r := range m.holes.before(m.now.Add(-holeGrace)) {
		held := false
		for id := range m.rows {
			held = held || r.from <= id && id <= r.to
		}
		if !held {
			gone = append(gone, r)
		}
	}
	m.holes = m.holes.without(gone)
}

// read reads a page as mysqlPage.read does, and returns how many rows it saw.
func (m *holesModel) read(limit, ranges int) int {
	covered := m.holes.within(ranges)
	var seen []mysqlSeen
	n := 0
	for _, id := range slices.Sorted(maps.Keys(m.rows)) {
		r := m.rows[id]
		if n == limit || !r.committed || id <= m.after && !covered.has(id) {
			continue
		}
		n++
		if id <= m.after && !m.holes.has(id) {
			continue
		}
		seen = append(seen, mysqlSeen{id, m.now.Sub(r.given)})
		m.got[r.lane] = append(m.got[r.lane], id)
	}
	m.holes, m.after = m.holes.passed(m.after, seen, m.now)
	return n
}

func (m *holesModel) check(t *rapid.T) {
	last := int64(0)
	for _, h := range m.holes {
		require.LessOrEqual(t, h.from, h.to)
		require.Greater(t, h.from, last, "disjoint and ascending")
		require.LessOrEqual(t, h.to, m.after, "behind the position")
		last = h.to
	}
	for lane, got := range m.got {
		require.LessOrEqual(t, len(got), len(m.want[lane]), "seen twice, or not committed")
		require.Equal(t, m.want[lane][:len(got)], got, "the order of a lane")
	}
}

func TestMySQLHolesSkipNothingAndKeepOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newHolesModel()
		lanes := rapid.IntRange(1, 6).Draw(t, "lanes")
		lane := rapid.IntRange(0, lanes-1)
		limit := rapid.IntRange(1, 8)
		ranges := rapid.IntRange(1, 5)
		t.Repeat(map[string]func(*rapid.T){
			"give":     func(t *rapid.T) { m.give(lane.Draw(t, "lane"), rapid.IntRange(1, 3).Draw(t, "n")) },
			"insert":   func(t *rapid.T) { m.insert(lane.Draw(t, "lane")) },
			"commit":   func(t *rapid.T) { m.end(lane.Draw(t, "lane"), true) },
			"rollback": func(t *rapid.T) { m.end(lane.Draw(t, "lane"), false) },
			"wait": func(t *rapid.T) {
				m.now = m.now.Add(time.Duration(rapid.IntRange(1, 5000).Draw(t, "ms")) * time.Millisecond)
			},
			"look": func(*rapid.T) { m.look() },
			"read": func(t *rapid.T) { m.read(limit.Draw(t, "limit"), ranges.Draw(t, "ranges")) },
			"deliver": func(t *rapid.T) {
				for _, ids := range m.got {
					for _, id := range ids {
						if rapid.Bool().Draw(t, "done") {
							delete(m.rows, id)
						}
					}
				}
			},
			"": m.check,
		})
		for lane := range lanes {
			m.end(lane, true)
		}
		m.read(1<<20, 5)
		m.check(t)
		require.Equal(t, m.want, m.got, "everything that was committed")
		for _, ids := range m.got {
			for _, id := range ids {
				delete(m.rows, id)
			}
		}
		m.now = m.now.Add(2 * holeGrace)
		m.look()
		require.Empty(t, m.holes, "what nobody can fill is forgotten")
	})
}

func TestMySQLHolesAreBounded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1_800_000_000, 0)
		var h mysqlHoles
		at := int64(0)
		for range rapid.IntRange(0, 40).Draw(t, "holes") {
			at += int64(rapid.IntRange(2, 6).Draw(t, "distance"))
			r := mysqlHole{from: at, since: now.Add(time.Duration(rapid.IntRange(0, 9).Draw(t, "s")) * time.Second)}
			at += int64(rapid.IntRange(0, 3).Draw(t, "size"))
			r.to = at
			h = append(h, r)
		}
		before := slices.Clone(h)
		n := rapid.IntRange(1, 10).Draw(t, "bound")
		out := h.within(n)
		require.Equal(t, before, h, "positions are copied: nothing is changed in place")
		require.Len(t, out, min(n, len(h)))
		for _, r := range h {
			i := slices.IndexFunc(out, func(o mysqlHole) bool { return o.from <= r.from && r.to <= o.to })
			require.GreaterOrEqual(t, i, 0, "every hole is covered")
			require.False(t, out[i].since.Before(r.since), "a range is as old as its newest hole")
		}
	})
}

func TestMySQLHolesStayFewInMemory(t *testing.T) {
	t.Parallel()
	var seen []mysqlSeen
	for i := range int64(3 * mostHoles) {
		seen = append(seen, mysqlSeen{id: 2 * (i + 1)})
	}
	h, after := mysqlHoles(nil).passed(0, seen, time.Now())
	require.Len(t, h, mostHoles)
	require.Equal(t, int64(6*mostHoles), after)
	require.True(t, h.has(1))
	require.True(t, h.has(after-1))
}

func TestMySQLStatementsOfAMigration(t *testing.T) {
	t.Parallel()
	list, err := MySQL.migrations()
	require.NoError(t, err)
	for _, m := range list {
		for i, s := range statementsOf(m.sql) {
			require.Regexp(t, `^CREATE TABLE IF NOT EXISTS dovetail_\w+ \(`, s, fmt.Sprint(m.name, i, ": what cannot be run again must not be there"))
		}
	}
	require.Equal(t, []string{"a\nb\n", "c\n"}, statementsOf("-- x; y\na -- z\n\nb;\nc\n"))
}

func TestMySQLVersions(t *testing.T) {
	t.Parallel()
	for v, ok := range map[string]bool{
		"10.11.6-MariaDB-0+deb12u1": true, "10.6.0-MariaDB": true, "11.4.2-MariaDB": true, "8.0.36": true, "8.4.0-log": true, "9.1.0": true,
		"10.5.23-MariaDB": false, "5.7.44": false, "5.5.5-10.4.1-MariaDB": false, "": false,
	} {
		require.Equal(t, ok, mysqlVersion(v), v)
	}
}
