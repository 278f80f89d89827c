package story_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/examples/storeaccounting/orders"
	"github.com/tectari/dovetail/examples/storeaccounting/story"
)

func TestScript(t *testing.T) {
	t.Parallel()
	all, _, err := orders.Sample()
	require.NoError(t, err)
	script := story.Script(all, 1)
	require.Equal(t, story.Fingerprint(script), story.Fingerprint(story.Script(all, 1)), "the same every time")
	require.NotEqual(t, story.Fingerprint(script), story.Fingerprint(story.Script(all, 2)))

	since := map[string]time.Duration{}
	fields := map[string]int{} // edits by system and field
	phones := map[string][]story.Action{}
	for i, a := range script {
		require.Equal(t, int64(i+1), a.Seq)
		require.Less(t, a.At, story.End)
		if a.Place != nil {
			if _, known := since[a.Place.CustomerID]; !known {
				since[a.Place.CustomerID] = a.At
			}
		}
		if e := a.Edit; e != nil {
			signedUp, known := since[e.Customer]
			require.True(t, known, "edit %d is of somebody", a.Seq)
			require.Greater(t, a.At, signedUp)
			fields[a.System+" "+e.Field]++
			if e.Field == "phone" {
				phones[e.Customer] = append(phones[e.Customer], a)
			}
		}
	}
	require.Len(t, fields, 14, "each side edits each field, its own and the other's: %v", fields)
	both, bothDown := 0, 0
	for _, edits := range phones {
		for i, b := range edits[1:] {
			if a := edits[i]; a.System != b.System && b.At-a.At < time.Minute {
				both++
				if a.At > story.OutageFrom && b.At < story.OutageTo {
					bothDown++
				}
			}
		}
	}
	require.Greater(t, both, 40, "phones change on both sides within a minute")
	require.Greater(t, bothDown, 20, "also during the outage")
}

func TestScriptOfFewOrders(t *testing.T) {
	t.Parallel()
	require.Empty(t, story.Script(nil, 1))
	one := story.Script([]orders.Order{{ID: "O-1", CustomerID: "C-1", CustomerName: "Ann"}}, 1)
	require.True(t, slices.ContainsFunc(one, func(a story.Action) bool { return a.Edit != nil }))
}

func TestClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		clock := story.NewClock(time.Minute, 120)
		time.Sleep(time.Hour)
		require.Equal(t, time.Minute, clock.Now(), "it stands still until Start")
		clock.Start()
		time.Sleep(500 * time.Millisecond)
		clock.Start()
		require.Equal(t, 2*time.Minute, clock.Now())
		require.Equal(t, 10*time.Second, clock.Wall(20*time.Minute))
	})
}

func ExampleFormat() {
	fmt.Println(story.Format(90_500))
	// Output: 2018-01-02T09:01:30.500Z
}
