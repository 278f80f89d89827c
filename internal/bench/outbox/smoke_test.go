//go:build !race

package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/internal/bench/outbox/contender"
	"github.com/tectari/dovetail/internal/integration/servers"
)

func TestMain(m *testing.M) {
	code := m.Run()
	servers.Stop()
	os.Exit(code)
}

// These run clients of others for minutes. The race detector would look for races
// of theirs; ours is tested with it elsewhere.

// smoke runs everything once, small, on one server.
func smoke(t *testing.T, database string) {
	t.Helper()
	quick := func(more ...string) string {
		var out, log bytes.Buffer
		require.NoError(t, run(t.Context(), append([]string{"-quick", "-databases", database}, more...), &out, &log), "%s", log.String())
		return out.String()
	}
	quick("-systems", "Dovetail,floor,bare", "-measures", strings.Join(measureNames(), ",")) // all measures, and below all systems
	table := quick()
	for _, c := range contender.On(database, nil) {
		require.Contains(t, table, c.Name)
		if c.Absent != "" {
			require.Contains(t, table, "- "+c.Name+": not measured: "+c.Absent)
		}
	}
	for line := range strings.Lines(table) {
		if strings.HasPrefix(line, "| drain ") {
			// Whoever runs drains; only bare, the last column of them, has no queue.
			cells := strings.Split(line, " | ")
			require.NotContains(t, cells[:len(cells)-4], "-", "%s", table)
		}
	}
}

// The servers are measured one after the other: two at once would share the
// processors.
func TestSmokePostgres(t *testing.T) {
	t.Setenv("DOVETAIL_POSTGRES_URL", servers.PostgresURL(t))
	smoke(t, "postgres")
}

func TestSmokeMariaDB(t *testing.T) {
	t.Setenv("DOVETAIL_MYSQL_DSN", servers.MariaDBDSN(t))
	smoke(t, "mariadb")
}

func TestSmokeSQLite(t *testing.T) { smoke(t, "sqlite") }
