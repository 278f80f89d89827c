package harness

import "slices"

// median returns the middle of a list, 0 of an empty one.
func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(list))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

// paired returns the median of the ratios of two contenders round by round, so
// that a slow minute of the machine, which hits both, does not count. It is 0
// where they have no round in common.
func paired(a, b map[int]Reading, less bool) float64 {
	var ratios []float64
	for round, x := range a {
		y, ok := b[round]
		if less {
			x, y = y, x
		}
		if ok && y.Value > 0 {
			ratios = append(ratios, x.Value/y.Value)
		}
	}
	return median(ratios)
}
