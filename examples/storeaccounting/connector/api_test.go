package connector

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tectari/dovetail"
)

// TestBadRecordOfAPageStopsAlone: an amount that is no number, a field of the
// wrong type, and no JSON object at all; the good ones of the page go on.
func TestBadRecordOfAPageStopsAlone(t *testing.T) {
	t.Parallel()
	const text = `{"records": [
		{"id": "c1", "name": "Ann", "balance": "1.50"},
		{"id": "c2", "balance": "12,5x"},
		{"id": "c3", "name": 7},
		"c4",
		{"id": "c5", "name": "Eve"}], "next": "n", "more": true}`
	var f feed
	require.NoError(t, json.Unmarshal([]byte(text), &f))
	p, err := pageOf(f, nil, showCustomer)
	require.NoError(t, err)
	require.Equal(t, "n", p.Next)
	require.True(t, p.More)
	require.Len(t, p.Records, 5)
	for i, want := range []struct{ id, reason string }{{"c1", ""}, {"c2", "read an amount"}, {"c3", "decode the record"}, {"", "decode the record"}, {"c5", ""}} {
		require.Equal(t, want.id, p.Records[i].ID)
		if want.reason == "" {
			require.NoError(t, p.Records[i].Err)
			continue
		}
		require.ErrorContains(t, p.Records[i].Err, want.reason)
		require.Equal(t, dovetail.Invalid, dovetail.Classify(p.Records[i].Err))
	}
}
