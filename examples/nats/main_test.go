package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEveryOrderArrivesOnceThoughNATSStops(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out))
	require.Contains(t, out.String(), "300 orders placed, 300 messages in the stream: 0 lost, 0 twice, 0 out of order.")
	require.Contains(t, out.String(), "the last 100 without NATS")
}
