package outboxtest

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// A scenario is one way in which things happen to a queue on a real database.
// What was committed must be what is delivered, once and in order, unless the
// scenario itself says otherwise.
type scenario struct {
	name string
	// on says where it applies. Defaults to all kinds of database.
	on []kind
	// run plays it; e.settled is what most end with.
	run func(e *env)
	// own: it brings its own database.
	own bool
}

var (
	everywhere = []kind{postgres, mariadb, sqlite}
	onServers  = []kind{postgres, mariadb}
	onPostgres = []kind{postgres}
)

// scenarios lists all of them.
func scenarios() []scenario {
	return slices.Concat(
		enqueueScenarios, orderScenarios, relayScenarios, databaseScenarios, postgresScenarios,
		outageScenarios, deskScenarios,
	)
}

// TestScenarios plays every scenario on every database that it applies to.
func TestScenarios(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, s := range scenarios() {
		require.False(t, seen[s.name], "two scenarios are named %s", s.name)
		seen[s.name] = true
	}
	for _, k := range everywhere {
		t.Run(string(k), func(t *testing.T) {
			t.Parallel()
			for _, s := range scenarios() {
				if s.on != nil && !slices.Contains(s.on, k) {
					continue
				}
				t.Run(s.name, func(t *testing.T) {
					t.Parallel()
					s.play(t, k)
				})
			}
		})
	}
}

// play plays the scenario on a kind of database.
func (s scenario) play(t testing.TB, k kind) {
	t.Helper()
	if s.own {
		s.run(&env{TB: t, kind: k})
		return
	}
	s.run(newEnv(t, k))
}
