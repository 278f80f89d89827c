//go:build !race

package webhook

// allocations is how many a verification may make.
const allocations = 2
