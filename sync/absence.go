package sync

import (
	"context"
	"fmt"
)

// absence walks the known IDs of a system beside its listing, both in byte
// order, and tells who is missing. It holds one page.
type absence struct {
	link   *Link
	party  *party
	last   string // the last ID listed
	sorted bool
	count  int64
	known  int64
	missed func(Ref) bool // false ends the walk
	ended  bool
}

// page takes the next page of the listing. A record that could not be read is
// listed all the same; a tombstone is not.
func (a *absence) page(ctx context.Context, pg page) error {
	listed := make(map[string]bool, len(pg.order))
	upTo := a.last
	for _, id := range pg.order {
		// A repeat, on one page or where two pages meet, is harmless.
		a.sorted = a.sorted && (id >= upTo || listed[id])
		upTo = max(upTo, id)
		listed[id] = true
	}
	for _, o := range pg.records {
		if o.deleted {
			delete(listed, o.id)
		}
	}
	after := a.last
	a.last = upTo
	return a.walk(ctx, listed, after, upTo, !pg.more)
}

// walk compares the known IDs after one ID and up to another, or to the end.
func (a *absence) walk(ctx context.Context, listed map[string]bool, after, upTo string, toTheEnd bool) error {
	const batch = 500
	for !a.ended {
		refs, err := a.link.store.RecordRemotes(ctx, a.link.name, a.party.name, after, batch)
		if err != nil {
			return fmt.Errorf("walk the known records of %s in %s: %w", a.link.name, a.party.name, err)
		}
		for _, r := range refs {
			if r.ID > upTo && !toTheEnd {
				return nil
			}
			after = r.ID
			a.known++
			if listed[r.ID] {
				continue
			}
			a.count++
			if !a.missed(r) {
				a.ended = true
				return nil
			}
		}
		if len(refs) < batch {
			return nil
		}
	}
	return nil
}
