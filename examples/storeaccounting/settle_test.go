package main

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestSettlingGoesOnAsLongAsThereIsProgress: a slow machine is no reason to give
// up, and what was given up on is not called lost.
func TestSettlingGoesOnAsLongAsThereIsProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var h hope
		for left := int64(20); left > 0; left-- {
			require.False(t, h.gone(left, 0))
			time.Sleep(100 * time.Second)
		}
		for made := range int64(20) {
			require.False(t, h.gone(7, made+1), "more is made, while as much comes in")
			time.Sleep(100 * time.Second)
		}
		require.False(t, h.gone(7, 20))
		time.Sleep(21 * time.Second)
		require.True(t, h.gone(7, 20))
	})
	gaveUp := result{Lost: 356, Unfinished: 712}
	require.Equal(t, "unfinished: 712 things were still waiting, and the audit misses 356 records", gaveUp.missing())
	require.Equal(t, "lost 0", (&result{}).missing())
}
