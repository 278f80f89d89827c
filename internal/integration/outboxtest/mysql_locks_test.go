package outboxtest

import (
	"context"
	"database/sql"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/internal/integration/servers"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/sqlstore"
)

var all = []outbox.Want{{Destination: "a", Shards: ^uint64(0)}}

// A reader reads page after page, as a relay does.
type reader struct {
	t        *testing.T
	store    *sqlstore.Store
	position outbox.Position
}

// next returns the IDs that a read finds.
func (r *reader) next() (ids []string) {
	r.t.Helper()
	p, err := r.store.ReadMessages(r.t.Context(), outbox.ReadQuery{Position: r.position, Wants: all, Limit: 1000, Bytes: 1 << 20})
	require.NoError(r.t, err)
	r.position = p.Position
	for _, e := range p.Entries {
		ids = append(ids, e.ID)
	}
	return ids
}

// holes is how many holes the position remembers.
func (r *reader) holes() int {
	return reflect.ValueOf(r.position.State).FieldByName("holes").Len()
}

func entry(id, lane string) outbox.Entry {
	return outbox.Entry{Message: outbox.Message{ID: id, To: "a", Key: lane, Payload: []byte(id)}, Lane: lane, Shard: 7}
}

// begin opens a transaction at the server's default isolation with entries in it.
func begin(t *testing.T, s *sqlstore.Store, entries ...outbox.Entry) *sql.Tx {
	t.Helper()
	tx, err := s.DB().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback() }) // if it is still open
	_, err = s.InsertMessages(t.Context(), tx, entries)
	require.NoError(t, err)
	return tx
}

func insert(t *testing.T, s *sqlstore.Store, entries ...outbox.Entry) {
	t.Helper()
	require.NoError(t, begin(t, s, entries...).Commit())
}

// TestNobodyWaitsForAnOpenProducerMySQL: a producer that stays open holds the rows
// that it inserted, in every table. Relays and operators must not touch them, also
// where so few rows are in a table that the server would rather scan it.
func TestNobodyWaitsForAnOpenProducerMySQL(t *testing.T) {
	t.Parallel()
	s := freshMySQL(t)
	later := func(e outbox.Entry) outbox.Entry {
		e.Due = time.Now().Add(time.Hour)
		return e
	}
	deduped := func(e outbox.Entry) outbox.Entry {
		e.DedupKey = e.ID
		return e
	}
	open := func(n string) {
		begin(t, s, entry("open"+n, "k"), later(entry("later"+n, "k")), later(entry("latest"+n, "")), deduped(entry("dedup"+n, "l")))
	}
	open("1")
	insert(t, s, entry("1", "k"), entry("2", "k"), deduped(entry("3", "k")), entry("4", "m"))
	open("2")
	insert(t, s, entry("5", "k"), entry("6", ""), later(entry("7", "k")))
	open("3")

	// Every statement must end long before the server gives up waiting for a lock.
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	lease := func(relay string, renew bool, ttl time.Duration) {
		t.Helper()
		l, err := s.LeaseShards(ctx, outbox.LeaseRequest{Relay: relay, Renew: renew, TTL: ttl, Destinations: []string{"a"}, Forget: time.Nanosecond})
		require.NoError(t, err)
		if ttl > 0 {
			require.Equal(t, ^uint64(0), l.Owned["a"])
		}
	}
	lease("one", false, time.Minute)
	p, err := s.ReadMessages(ctx, outbox.ReadQuery{Wants: all, Limit: 100, Bytes: 1 << 20})
	require.NoError(t, err)
	require.Len(t, p.Entries, 6)
	at := func(i int, state outbox.State) outbox.Parking {
		return outbox.Parking{Seq: p.Entries[i].Seq, Destination: "a", Shard: 7, State: state, Class: dovetail.Invalid}
	}
	settle := func(relay string, st outbox.Settlement) {
		t.Helper()
		st.Relay = relay
		out, err := s.SettleMessages(ctx, st)
		require.NoError(t, err)
		require.Empty(t, out.Refused)
	}
	settle("one", outbox.Settlement{Park: []outbox.Parking{at(0, outbox.Dead), at(1, outbox.Behind), at(2, outbox.Behind)}})
	settle("one", outbox.Settlement{Done: []int64{p.Entries[3].Seq, p.Entries[5].Seq, p.Entries[5].Seq + 100}})
	settle("one", outbox.Settlement{Drop: []outbox.Drop{{Destination: "a", Shard: 7, Lane: "k", Before: p.Entries[2].Seq}}})
	lease("one", true, 0)
	lease("two", false, time.Minute)
	due, err := s.DueMessages(ctx, []outbox.Want{{Destination: "a", Shards: ^uint64(0), Limit: 10}})
	require.NoError(t, err)
	require.Len(t, due, 1)
	require.Equal(t, "3", due[0].ID, "the second was dropped, so the takeover makes the third due")
	for _, action := range []outbox.Action{outbox.ReplayAction, outbox.DiscardAction} {
		out, err := s.OperateQueue(ctx, outbox.Operation{Action: action, Filter: outbox.Filter{Destination: "a"}, Who: "ana", Why: "test"})
		require.NoError(t, err)
		require.Equal(t, 1, out.Messages)
		settle("two", outbox.Settlement{Park: []outbox.Parking{at(0, outbox.Dead)}})
	}
	_, err = s.QueueStatus(ctx, 100)
	require.NoError(t, err)
	require.NoError(t, ctx.Err())
}

// TestLateCommitKeepsOrderMySQL: however late a transaction commits, its messages
// come, and before those that its key has committed since. What was rolled back is
// forgotten, although somebody else's transaction is open all along.
func TestLateCommitKeepsOrderMySQL(t *testing.T) {
	t.Parallel()
	s := freshMySQL(t)
	other, err := s.DB().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer other.Rollback()
	_, err = other.Exec("INSERT INTO dovetail_pause VALUES ('other', '', '', 0)")
	require.NoError(t, err)

	r := &reader{t: t, store: s}
	late := begin(t, s, entry("k1", "k"), entry("k2", "k"))
	for i := range 5 {
		require.NoError(t, begin(t, s, entry("gone", "l")).Rollback())
		insert(t, s, entry(fmt.Sprint("m", i), "m"))
	}
	require.Equal(t, []string{"m0", "m1", "m2", "m3", "m4"}, r.next())
	require.Equal(t, 5, r.holes(), "the first of them next to the one that is open")
	time.Sleep(2200 * time.Millisecond)
	require.Empty(t, r.next())
	require.Equal(t, 1, r.holes(), "what was rolled back is forgotten, what is open is not")
	time.Sleep(1200 * time.Millisecond)
	require.Empty(t, r.next())
	require.NoError(t, late.Commit())
	insert(t, s, entry("k3", "k"))
	require.Equal(t, []string{"k1", "k2", "k3"}, r.next())
	require.Equal(t, 1, r.holes(), "only the one next to it, which was not looked at alone yet")
}

// TestLargePayloadsAreReadWithinTheBudgetMySQL counts what the server sends.
func TestLargePayloadsAreReadWithinTheBudgetMySQL(t *testing.T) {
	t.Parallel()
	c := servers.MariaDBDatabase(t)
	db := servers.OpenMariaDB(t, c)
	db.SetMaxOpenConns(1) // the counters belong to a connection
	s := sqlstore.New(db, sqlstore.MySQL)
	require.NoError(t, s.Migrate(t.Context()))
	for i := range 20 {
		e, foreign := entry(fmt.Sprintf("%02d", i), "k"), entry("f", "")
		e.Payload, foreign.Payload, foreign.To = make([]byte, 1<<20), make([]byte, 1<<20), "b"
		for j := range e.Payload {
			e.Payload[j] = byte(i)
		}
		insert(t, s, e, entry(fmt.Sprintf("%02d small", i), "k"), foreign)
	}
	sent := func() (n int64) {
		var name string
		require.NoError(t, db.QueryRow("SHOW SESSION STATUS LIKE 'Bytes_sent'").Scan(&name, &n))
		return n
	}
	var ids []string
	q := outbox.ReadQuery{Wants: all, Limit: 1000, Bytes: 3 << 20}
	for pages := 0; ; pages++ {
		before := sent()
		p, err := s.ReadMessages(t.Context(), q)
		require.NoError(t, err)
		require.Less(t, sent()-before, int64(5<<20))
		for _, e := range p.Entries {
			if len(e.Payload) > 100 {
				require.Len(t, e.Payload, 1<<20)
				require.Equal(t, byte(len(ids)/2), e.Payload[77])
			}
			ids = append(ids, e.ID)
		}
		if !p.More {
			require.Greater(t, pages, 3)
			break
		}
		q.Position = p.Position
	}
	require.Len(t, ids, 40)
	require.IsIncreasing(t, ids)
}
