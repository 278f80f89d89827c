//go:build race

package webhook

// allocations is how many a verification may make. The race detector has pools forget
// what they hold.
const allocations = 50
