package harness

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBodiesSayTheirNumber(t *testing.T) {
	t.Parallel()
	e := NewEvent(123_456_789)
	require.Len(t, e.Body, Size)
	require.Equal(t, int64(123_456_789), number(e.Body))
	require.Equal(t, "customer-6789", e.Key)
	require.Equal(t, int64(7), number([]byte(`{"n": "000000000007", "pad": "x"}`)), "as jsonb gives it back")
	for _, bad := range []string{"", "{}", `{"n":"7"}`, `{"n":"00000000000x"}`} {
		require.Equal(t, int64(-1), number([]byte(bad)), "%q", bad)
	}
}

// deliver plays a queue that delivers these events, of which it was given n.
func deliver(n int64, events ...int64) *Ledger {
	l := newLedger(n, false)
	l.expect(n)
	for _, e := range events {
		l.Deliver(NewEvent(e).Body)
	}
	return l
}

func TestLedgerSeesWhatQueuesDoWrong(t *testing.T) {
	t.Parallel()
	ordered := Contender{Name: "test", Ordered: true}
	check := func(l *Ledger, keyed bool) string {
		notes, err := l.check(ordered, keyed)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprint(notes)
	}
	require.True(t, deliver(3, 0, 1, 2).wait(0))
	require.Equal(t, "[]", check(deliver(3, 2, 0, 1), true), "different keys have no order")
	require.Contains(t, check(deliver(3, 0, 1), false), "delivered 2 of 3")
	require.Contains(t, check(deliver(3, 0, 1, 2, 2), false), "twice")
	require.Contains(t, check(deliver(3, 0, 1, 70), false), "delivered 2 of 3")
	// 64 events share a word of the ledger, so a foreign number may look like one.
	require.Contains(t, check(deliver(3, 0, 1, 5), false), "event 2 of 3 was lost")
	require.False(t, deliver(2, 0, 0).wait(time.Millisecond), "the same event twice is not two events")

	later := deliver(Keys+1, Keys, 0) // both of customer-0
	for n := int64(1); n < Keys; n++ {
		later.Deliver(NewEvent(n).Body)
	}
	require.Contains(t, check(later, true), "out of the order of their key")
	require.Equal(t, "[]", check(later, false), "nobody asked")
	notes, err := later.check(Contender{}, true)
	require.NoError(t, err, "it never promised")
	require.Contains(t, fmt.Sprint(notes), "out of order")
}
