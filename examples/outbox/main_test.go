package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheStoryEndsWell(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out), out.String())
	require.Contains(t, out.String(), "CRITICAL: accounting")
	require.Contains(t, out.String(), "30 orders, 30 invoices: each once, each customer's in order.")
}
