//go:build race

package crashtest

// The race detector makes SQLite some ten times slower, so only a sample is run.
const usual, everyNth, pairs = 1, 12, 2
