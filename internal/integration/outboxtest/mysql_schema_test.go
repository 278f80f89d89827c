package outboxtest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/internal/integration/servers"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/sqlstore"
)

// TestMigrateTogetherMySQL has several processes migrate at once, and one that died
// half-way before.
func TestMigrateTogetherMySQL(t *testing.T) {
	t.Parallel()
	c := servers.MariaDBDatabase(t)
	s := sqlstore.New(servers.OpenMariaDB(t, c), sqlstore.MySQL)
	require.ErrorIs(t, s.Verify(t.Context()), sqlstore.ErrSchema)
	_, err := s.DB().Exec("CREATE TABLE dovetail_pause (destination VARBINARY(1024) NOT NULL, who BLOB NOT NULL, why BLOB NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (destination))")
	require.NoError(t, err)
	var work sync.WaitGroup
	failures := make(chan error, 8)
	for range 8 {
		db := servers.OpenMariaDB(t, c)
		db.SetMaxOpenConns(1)
		work.Go(func() { failures <- sqlstore.New(db, sqlstore.MySQL).Migrate(t.Context()) })
	}
	work.Wait()
	for range 8 {
		require.NoError(t, <-failures)
	}
	verifyMySQL(t, s)
	require.NoError(t, s.Migrate(t.Context()), "a second time it does nothing")
}

func TestVerifyNamesWhatVoidsAPromiseMySQL(t *testing.T) {
	t.Parallel()
	c := servers.MariaDBDatabase(t)
	require.NoError(t, sqlstore.New(servers.OpenMariaDB(t, c), sqlstore.MySQL).Migrate(t.Context()))
	bad := map[string]string{
		"sql_mode": "''", "auto_increment_increment": "2", "autocommit": "0", "character_set_client": "latin1",
	}
	for name, value := range bad {
		c := c.Clone()
		c.Params = map[string]string{name: value}
		err := sqlstore.New(servers.OpenMariaDB(t, c), sqlstore.MySQL).Verify(t.Context())
		require.ErrorIs(t, err, sqlstore.ErrSettings, name)
		require.ErrorContains(t, err, name+" is ")
	}
	db := servers.OpenMariaDB(t, c)
	_, err := db.Exec("ALTER TABLE dovetail_relay ENGINE=MyISAM")
	require.NoError(t, err)
	require.ErrorContains(t, sqlstore.New(db, sqlstore.MySQL).Verify(t.Context()), "not InnoDB")
}

// TestTextsCompareExactlyMySQL: a collation that ignores case, accents or trailing
// spaces would mix keys, in a database whose own character set is another one.
func TestTextsCompareExactlyMySQL(t *testing.T) {
	t.Parallel()
	s := freshMySQL(t)
	texts := []string{"a", "a ", "A", "á", "a\t", "𝄞", "ß", "ss", "a'\"\\%", `<&>`}
	var entries []outbox.Entry
	for _, text := range texts {
		e := entry(text, text)
		e.DedupKey, e.Topic = text, text
		entries = append(entries, e)
	}
	insert(t, s, entries...)
	insert(t, s, entries...) // all seen
	ctx := t.Context()
	_, err := s.LeaseShards(ctx, outbox.LeaseRequest{Relay: "one", TTL: time.Minute, Destinations: []string{"a"}})
	require.NoError(t, err)
	p, err := s.ReadMessages(ctx, outbox.ReadQuery{Wants: all, Limit: 100, Bytes: 1 << 20})
	require.NoError(t, err)
	require.Len(t, p.Entries, len(texts))
	for i, e := range p.Entries {
		require.Equal(t, texts[i], e.Key)
		_, err := s.SettleMessages(ctx, outbox.Settlement{Relay: "one", Park: []outbox.Parking{
			{Seq: e.Seq, Destination: "a", Shard: 7, State: outbox.Dead, Code: texts[i], Error: texts[i]},
		}})
		require.NoError(t, err)
	}
	insert(t, s, entry("next", "a "))
	p, err = s.ReadMessages(ctx, outbox.ReadQuery{Wants: all, Limit: 100, Bytes: 1 << 20})
	require.NoError(t, err)
	require.True(t, p.Entries[0].Stops, "behind the dead one of its own key")
	insert(t, s, entry("other", "a  "))
	p, err = s.ReadMessages(ctx, outbox.ReadQuery{Wants: all, Limit: 100, Bytes: 1 << 20})
	require.NoError(t, err)
	require.False(t, p.Entries[1].Stops, "not of its key")
	for _, text := range texts {
		for name, f := range map[string]outbox.Filter{
			"key": {Key: text}, "topic": {Topic: text}, "code": {Code: text}, "id": {IDs: []string{text, "none"}},
		} {
			letters, err := s.DeadLetters(ctx, f)
			require.NoError(t, err)
			require.Len(t, letters, 1, fmt.Sprintf("by %s %q", name, text))
			require.Equal(t, text, letters[0].Error)
		}
	}
}

// handlerReads counts the rows that a connection has touched. Those of a list that it is
// given count too, and those that it deletes are looked up once more for that.
const handlerReads = `
SELECT cast(sum(variable_value) AS SIGNED) FROM information_schema.session_status
WHERE variable_name LIKE 'Handler_read_%'`

// TestPlansMySQL counts the rows that the server touches for a page and for its
// deletion, with few and with many rows, and with statistics of an empty table.
func TestPlansMySQL(t *testing.T) {
	t.Parallel()
	for _, rows := range []int{10, 10_000, 1_000_000} {
		t.Run(fmt.Sprint(rows), func(t *testing.T) {
			if rows > 10_000 && testing.Short() {
				t.Skip("left out by -short, as it fills a table for half a minute: run it without")
			}
			db := servers.OpenMariaDB(t, servers.MariaDBDatabase(t))
			db.SetMaxOpenConns(1) // the counters belong to a connection
			s := sqlstore.New(db, sqlstore.MySQL)
			require.NoError(t, s.Migrate(t.Context()))
			_, err := db.Exec("ANALYZE TABLE dovetail_message")
			require.NoError(t, err)
			fill(t, s, rows)
			count := func() (n int) {
				require.NoError(t, db.QueryRow(handlerReads).Scan(&n))
				return n
			}
			own := -count() + count() // what counting touches
			touched := func(do func()) int {
				before := count()
				do()
				return count() - before - own
			}
			const page = 500
			want := min(page, rows)
			read := func(after int) (p outbox.Page) {
				p, err := s.ReadMessages(t.Context(), outbox.ReadQuery{Position: outbox.Position{After: int64(after)}, Wants: all, Limit: page, Bytes: 1 << 30})
				require.NoError(t, err)
				return p
			}
			settle := func(ids ...int64) {
				_, err := s.SettleMessages(t.Context(), outbox.Settlement{Done: ids})
				require.NoError(t, err)
			}
			read(0)
			settle(1 << 40) // the server has opened its tables
			for _, at := range []int{0, rows / 2, rows - want} {
				var p outbox.Page
				n := touched(func() { p = read(at) })
				require.LessOrEqual(t, n, 2*len(p.Entries), "read after %d: %d rows touched for %d", at, n, len(p.Entries))
				var ids []int64
				for _, e := range p.Entries {
					ids = append(ids, e.Seq)
				}
				n = touched(func() { settle(ids...) })
				require.LessOrEqual(t, n, 4*len(ids), "deletion of %d: %d rows touched", len(ids), n)
				if rows < page {
					break // none are left
				}
			}
		})
	}
}

// fill makes so many waiting rows.
func fill(t *testing.T, s *sqlstore.Store, rows int) {
	t.Helper()
	insert(t, s, entry("x", "k"))
	for n := 1; n < rows; {
		more := min(n, rows-n)
		_, err := s.DB().Exec(`
INSERT INTO dovetail_message (id, created, destination, shard, lane, message, topic, `+"`key`"+`, size, payload)
SELECT id + ?, created, destination, shard, lane, message, topic, `+"`key`"+`, size, payload FROM dovetail_message WHERE id <= ?`, n, more)
		require.NoError(t, err)
		n += more
	}
}
