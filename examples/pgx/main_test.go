package main

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/internal/integration/servers"
)

func TestMain(m *testing.M) {
	code := m.Run()
	servers.Stop()
	os.Exit(code)
}

func TestAMessageOfAPgxTransactionArrives(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, servers.PostgresURL(t)), out.String())
	require.Contains(t, out.String(), "100 orders, 100 messages: each once and in order")
}
