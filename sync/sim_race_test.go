//go:build race

package sync_test

// The race detector costs about ten times the time.
const defaultHistories = 4_000
