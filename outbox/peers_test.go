package outbox_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/memstore"
)

// The most painful problems that users of other queues report, as far as they are
// the relay's and have no test elsewhere:
//
//  1. lost after an interrupted batch: TestRelayRulesMatter, TestLedger
//  2. stalled by a long transaction, and 3. a table that grows: the stores' suites
//  4. poison blocks everything: TestPoisonKeysDelayNobodyElse here
//  5. attempts burnt in an outage, a long tail after it: TestOutageBurnsNoAttempt
//  6. a dead worker's messages stuck: TestDeadRelayIsFollowedWithinALease here
//  7. duplicates from several instances: TestRelaysThatComeAndGoDeliverOnce here
//  8. broken order: TestKeyKeepsItsOrderThroughRetries, TestHistoriesKeepEveryPromise
//  9. deadlocks: the stores' suites; a relay never competes for a row
//  10. deafness: TestCommittedIsDeliveredRolledBackIsNot, TestStuckIsToldWithoutARelay

func TestPoisonKeysDelayNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{slow: time.Millisecond}
		s.set(func(d outbox.Delivery) error {
			if d.Key[0] == 'p' {
				return dovetail.NewError([]dovetail.Class{dovetail.Transient, dovetail.Invalid, dovetail.InDoubt}[len(d.Key)%3], "write", "no")
			}
			return nil
		})
		b := newBench(t, nil, outbox.Destination{Name: "a", Handler: s, Buffer: 100, Concurrency: 4})
		defer b.run()()
		var msgs []outbox.Message
		for i := range 3000 {
			key := fmt.Sprint("k", i%100)
			if i%3 == 0 {
				key = fmt.Sprint("p", i%300)
			}
			msgs = append(msgs, msg("a", key, fmt.Sprintf("%04d", i)))
		}
		b.send(msgs...)
		time.Sleep(10 * time.Second)
		require.Len(t, s.ids(), 2000, "all that can be delivered is, long before the first retry ends")
		tries := s.attempts()
		time.Sleep(10 * time.Second)
		require.Less(t, s.attempts()-tries, 1000, "and what cannot does not spin")
	})
}

func TestDeadRelayIsFollowedWithinALease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &deaf{Store: memstore.New()}
		stuck := &sink{slow: time.Hour}
		first := runQueue(t, queueOn(t, store, &told{}, outbox.Destination{Name: "a", Handler: stuck, Timeout: 2 * time.Hour}))
		s := &sink{}
		second := runQueue(t, queueOn(t, store.Store, &told{}, outbox.Destination{Name: "a", Handler: s}))
		time.Sleep(5 * time.Second) // they share
		producer := queueOn(t, store.Store, &told{}, outbox.Destination{Name: "a"})
		for i := range 100 {
			send(t, producer, msg("a", fmt.Sprint("k", i%20), fmt.Sprintf("%03d", i)))
		}
		time.Sleep(time.Second)
		require.Less(t, len(s.ids()), 100, "the first has its part under way")
		store.dead.Store(true) // and dies
		time.Sleep(10*time.Second + 500*time.Millisecond)
		require.Len(t, s.ids(), 100)
		first()
		second()
	})
}

func TestRelaysThatComeAndGoDeliverOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sink{slow: 5 * time.Millisecond}
		store := memstore.New()
		d := outbox.Destination{Name: "a", Handler: s, Buffer: 20}
		producer := queueOn(t, store, &told{}, outbox.Destination{Name: "a"})
		var stops []func()
		for i := range 3000 {
			id := fmt.Sprintf("%04d", i)
			send(t, producer, msg("a", fmt.Sprint("k", i%30), id))
			time.Sleep(5 * time.Millisecond)
			switch {
			case i%300 == 0: // one more
				stops = append(stops, runQueue(t, queueOn(t, store, &told{}, d)))
			case i%700 == 600: // the oldest goes
				go stops[0]()
				stops = stops[1:]
			}
		}
		time.Sleep(time.Minute)
		got := s.ids()
		require.Len(t, got, 3000, "each once, whoever comes and goes")
		require.Empty(t, s.torn())
		for k := range 30 {
			var of []string
			for _, id := range got {
				n, err := strconv.Atoi(id)
				require.NoError(t, err)
				if n%30 == k {
					of = append(of, id)
				}
			}
			require.True(t, slices.IsSorted(of), "k%d: %v", k, of)
		}
		for _, stop := range stops {
			stop()
		}
		time.Sleep(time.Second)
	})
}
