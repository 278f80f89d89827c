package sqlstore

import (
	"cmp"
	"slices"
	"time"
)

// A mysqlHole is a range of ids that a reader has passed without seeing them. Each
// belongs to a transaction that may still commit, or was given back, or was
// delivered by others long ago.
type mysqlHole struct {
	from, to int64
	// since is when the newest id of the range was certainly given.
	since time.Time
}

// mysqlHoles are all holes of a reader: ascending, disjoint. They are never
// changed in place, since positions are copied.
type mysqlHoles []mysqlHole

// mostHoles bounds them. Above it, neighbours are taken for one hole.
const mostHoles = 4096

// A mysqlSeen is an id that a read found, and how long ago it was given.
type mysqlSeen struct {
	id  int64
	age time.Duration
}

// has reports whether id was not seen yet.
func (h mysqlHoles) has(id int64) bool {
	i, found := slices.BinarySearchFunc(h, id, func(r mysqlHole, id int64) int { return cmp.Compare(r.to, id) })
	return found || i < len(h) && h[i].from <= id
}

// passed returns the holes of a reader at after that has now seen more ids,
// ascending, and where it is then. It has examined all ids up to the last of them.
func (h mysqlHoles) passed(after int64, seen []mysqlSeen, now time.Time) (mysqlHoles, int64) {
	out := make(mysqlHoles, 0, len(h))
	i := 0
	for _, r := range h {
		for i < len(seen) && seen[i].id < r.from {
			i++
		}
		for ; i < len(seen) && seen[i].id <= r.to; i++ {
			if id := seen[i].id; id > r.from {
				out = append(out, mysqlHole{r.from, id - 1, r.since})
			}
			r.from = seen[i].id + 1
		}
		if r.from <= r.to {
			out = append(out, r)
		}
	}
	for _, s := range seen {
		if s.id <= after {
			continue
		}
		if s.id > after+1 {
			// Ids are given in their order: the missing ones are older than this one.
			out = append(out, mysqlHole{after + 1, s.id - 1, now.Add(-max(s.age, 0))})
		}
		after = s.id
	}
	return out.within(mostHoles), after
}

// within returns at most n ranges that cover the holes: those that lie closest
// together are taken for one.
func (h mysqlHoles) within(n int) mysqlHoles {
	if len(h) <= n {
		return h
	}
	gaps := make([]int64, len(h)-1)
	for i := range gaps {
		gaps[i] = h[i+1].from - h[i].to
	}
	order := slices.Clone(gaps)
	slices.Sort(order)
	most := order[len(h)-n-1] // as many gaps as are too many go
	surplus := len(h) - n
	for _, g := range gaps {
		if g < most {
			surplus--
		}
	}
	out := mysqlHoles{h[0]}
	for i, r := range h[1:] {
		last := &out[len(out)-1]
		switch {
		case gaps[i] > most || gaps[i] == most && surplus == 0:
			out = append(out, r)
			continue
		case gaps[i] == most:
			surplus--
		}
		last.to = r.to
		if r.since.After(last.since) {
			last.since = r.since
		}
	}
	return out
}

// before returns the holes whose ids were all given before a time.
func (h mysqlHoles) before(t time.Time) mysqlHoles {
	var out mysqlHoles
	for _, r := range h {
		if r.since.Before(t) {
			out = append(out, r)
		}
	}
	return out
}

// without returns the holes that are not among gone, which are some of them.
func (h mysqlHoles) without(gone mysqlHoles) mysqlHoles {
	out := make(mysqlHoles, 0, len(h)-len(gone))
	for _, r := range h {
		if len(gone) > 0 && gone[0].from == r.from {
			gone = gone[1:]
			continue
		}
		out = append(out, r)
	}
	return out
}
