package dovetail_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
)

func TestRef(t *testing.T) {
	t.Parallel()
	require.True(t, dovetail.Ref{}.IsZero())
	require.False(t, dovetail.Ref{System: "erp"}.IsZero())
	require.False(t, dovetail.Ref{ID: "7"}.IsZero())
	require.Equal(t, "erp:7", dovetail.Ref{System: "erp", ID: "7"}.String())
	require.Equal(t, ":", dovetail.Ref{}.String())
	require.Len(t, map[dovetail.Ref]int{{System: "a:b", ID: "c"}: 1, {System: "a", ID: "b:c"}: 2}, 2, "a key, not its text")
}
