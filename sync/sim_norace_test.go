//go:build !race

package sync_test

// Enough for every mutant of TestSafetyRulesMatter to die many times over, in
// less than a minute on two cores.
const defaultHistories = 100_000
