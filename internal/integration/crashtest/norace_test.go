//go:build !race

package crashtest

// Of each label the first usual occurrences are struck, and of the strikes every
// everyNth; pairs are struck one after the other. DOVETAIL_CRASH_OCCURRENCES (0:
// all), DOVETAIL_CRASH_EVERY and DOVETAIL_CRASH_PAIRS say otherwise.
const usual, everyNth, pairs = 2, 1, 16
