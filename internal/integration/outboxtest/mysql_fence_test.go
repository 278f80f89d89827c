package outboxtest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/sqlstore"
)

func leaseFor(t *testing.T, s *sqlstore.Store, relay string, ttl time.Duration) outbox.Lease {
	t.Helper()
	l, err := s.LeaseShards(t.Context(), outbox.LeaseRequest{Relay: relay, TTL: ttl, Destinations: []string{"a"}})
	require.NoError(t, err)
	return l
}

// TestParkingWaitsForADeletionMySQL: a relay that lost its lease has delivered a
// message and is about to delete it, when the new owner parks it.
func TestParkingWaitsForADeletionMySQL(t *testing.T) {
	t.Parallel()
	s := freshMySQL(t)
	insert(t, s, entry("1", "k"))
	leaseFor(t, s, "one", time.Minute)
	tx, err := s.DB().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer tx.Rollback()
	_, err = tx.Exec("DELETE FROM dovetail_message")
	require.NoError(t, err)
	parked := make(chan error, 1)
	go func() {
		_, err := s.SettleMessages(t.Context(), outbox.Settlement{Relay: "one", Park: []outbox.Parking{
			{Seq: 1, Destination: "a", Shard: 7, State: outbox.Retrying},
		}})
		parked <- err
	}()
	select {
	case <-parked:
		require.Fail(t, "it did not wait")
	case <-time.After(300 * time.Millisecond):
	}
	require.NoError(t, tx.Commit())
	require.NoError(t, <-parked)
	due, err := s.DueMessages(t.Context(), []outbox.Want{{Destination: "a", Shards: ^uint64(0), Limit: 10}})
	require.NoError(t, err)
	require.Empty(t, due, "what is gone stays gone")
}

// TestTakeoverWaitsForParkingMySQL: a relay is parking when its time is over. Until
// that is written nobody else has its shards.
func TestTakeoverWaitsForParkingMySQL(t *testing.T) {
	t.Parallel()
	s := freshMySQL(t)
	insert(t, s, entry("1", "k"))
	leaseFor(t, s, "one", 200*time.Millisecond)
	// Holds up the parking, after it has seen that the relay owns the shard.
	tx, err := s.DB().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer tx.Rollback()
	var id int64
	require.NoError(t, tx.QueryRow("SELECT id FROM dovetail_message FOR UPDATE").Scan(&id))
	parked := make(chan []int64, 1)
	go func() {
		out, err := s.SettleMessages(t.Context(), outbox.Settlement{Relay: "one", Park: []outbox.Parking{
			{Seq: id, Destination: "a", Shard: 7, State: outbox.Behind},
		}})
		if err != nil {
			out.Refused = []int64{-1}
		}
		parked <- out.Refused
	}()
	time.Sleep(400 * time.Millisecond)
	taken := make(chan outbox.Lease, 1)
	go func() {
		l, err := s.LeaseShards(t.Context(), outbox.LeaseRequest{Relay: "two", TTL: time.Minute, Destinations: []string{"a"}})
		if err == nil {
			taken <- l
		}
	}()
	select {
	case <-taken:
		require.Fail(t, "it did not wait")
	case <-time.After(300 * time.Millisecond):
	}
	require.NoError(t, tx.Commit())
	require.Empty(t, <-parked)
	require.Equal(t, ^uint64(0), (<-taken).Owned["a"])
	due, err := s.DueMessages(t.Context(), []outbox.Want{{Destination: "a", Shards: ^uint64(0), Limit: 10}})
	require.NoError(t, err)
	require.Len(t, due, 1, "the takeover has seen what was parked")
}

// TestSharesAreDisjointMySQL has relays come and go at once.
func TestSharesAreDisjointMySQL(t *testing.T) {
	t.Parallel()
	s := freshMySQL(t)
	for round := range 8 {
		leases := make([]outbox.Lease, 6)
		failures := make(chan error, len(leases))
		var work sync.WaitGroup
		for i := range leases {
			work.Go(func() {
				var err error
				leases[i], err = s.LeaseShards(t.Context(), outbox.LeaseRequest{
					Relay: fmt.Sprint(round, "-", i), TTL: time.Minute, Destinations: []string{fmt.Sprint("d", round)},
				})
				failures <- err
			})
		}
		work.Wait()
		var owned uint64
		for i, l := range leases {
			require.NoError(t, <-failures)
			mask := l.Owned[fmt.Sprint("d", round)]
			require.Zero(t, owned&mask, "relay %d got what another has", i)
			owned |= mask
		}
		require.Equal(t, ^uint64(0), owned)
	}
}
