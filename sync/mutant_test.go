package sync_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// mutants are safety rules taken away, each with how many histories it may live.
// They are built from the seams of the engine (its store, its ledger, its
// endpoints), so nothing of them is in the code that ships.
var mutants = []struct {
	name string
	most int
}{
	{"a fresh key for every attempt", 4_000},
	{"no generation in the key", 40_000},
	{"take an unknown record while a create is open", 40_000},
	{"write without a condition", 40_000},
	{"forget that a write is uncertain", 100_000},
	{"compare values, not revisions", 4_000},
	{"one base for all systems", 4_000},
	{"ignore who read or wrote meanwhile", 100_000},
	{"believe a page that may be old", 40_000},
	{"forget late requests", 100_000},
	{"no sweep", 4_000},
}

// TestSafetyRulesMatter takes one safety rule away at a time: the histories must
// then find a broken promise. A rule without which nothing breaks is not tested.
func TestSafetyRulesMatter(t *testing.T) {
	t.Parallel()
	if testing.Short() || defaultHistories < 100_000 {
		t.Log("under the race detector one mutant stands for all: the search is the same code")
		mutants = mutants[:1]
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			seed, what, _ := run(t, m.name, 1, m.most)
			require.NotEmpty(t, what, "nothing broke in %d histories", m.most)
			t.Logf("dies at seed %d: %s", seed, what)
		})
	}
}
