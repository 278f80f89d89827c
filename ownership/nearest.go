package ownership

import "strings"

// nearest returns the known word that wrong was probably meant to be, "" when
// none is near: the same letters in another case or with other separators, or at
// most one wrong letter in three.
func nearest(wrong string, known []string) string {
	const longest = 64 // what a person types; bounds the work
	if len(wrong) > longest {
		return ""
	}
	best, least := "", len(wrong)/3+1
	for _, k := range known {
		if k == "" || len(k) > longest {
			continue
		}
		d := distance(plain(wrong), plain(k))
		if swapped(plain(wrong), plain(k)) {
			d = 1
		}
		if d < least {
			best, least = k, d
		}
	}
	return best
}

// swapped reports whether two neighbouring letters are exchanged, the commonest
// slip.
func swapped(a, b string) bool {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	return len(a) == len(b) && i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
}

// plain drops what people mix up: case, and the separators between words.
func plain(s string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "", ".", "").Replace(s))
}

// distance counts the letters to change, add or remove to make b from a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
