package sync

import (
	"context"
	"errors"
	"fmt"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/outbox"
)

// Reconcile lists every record of a system and compares it with what is known,
// page by page with flat memory: what incremental reading missed is found here.
// A record that is known and not listed is only a hint: it is read, and gone
// only if that read says so. When more are missing than the brake on deletions
// allows, or all are, nothing is asked and a person is told. What was listed
// before an error is kept; a run that is repeated begins anew.
func (l *Link) Reconcile(ctx context.Context, system dovetail.System) error {
	p, err := l.party(system)
	if err != nil {
		return err
	}
	if p.list == nil {
		return fmt.Errorf("sync: the endpoint of %q has no List", system)
	}
	if err := l.mayRun(ctx); err != nil {
		return err
	}
	walk := &absence{link: l, party: p, sorted: true}
	var missing []string
	walk.missed = func(r Ref) bool {
		if len(missing) < mostAsked {
			missing = append(missing, r.ID)
		}
		return true
	}
	err = l.listAll(ctx, p, func(pg page) error {
		if err := l.takePage(ctx, p, pg, "", true); err != nil {
			return err
		}
		return walk.page(ctx, pg)
	})
	if err != nil {
		return err
	}
	if err := l.endListed(ctx, p); err != nil {
		return err
	}
	return l.askFor(ctx, walk, missing)
}

// mostAsked is how many missing records one run asks for; the next finds the
// others. It bounds the memory of a run.
const mostAsked = 10_000

// listAll calls fn with each page of a listing.
func (l *Link) listAll(ctx context.Context, p *party, fn func(page) error) error {
	cursor := ""
	for {
		pg, err := p.list(ctx, cursor)
		if err != nil {
			return fmt.Errorf("list %s in %s: %w", l.name, p.name, err)
		}
		if err := fn(pg); err != nil {
			return err
		}
		if !pg.more {
			return nil
		}
		if pg.next == "" || pg.next == cursor {
			return &dovetail.Error{Fault: dovetail.Permanent, Op: "list " + l.name, Ref: dovetail.Ref{System: p.name}, Err: errors.New("the page says that there is more but its cursor does not move")}
		}
		cursor = pg.next
	}
}

// askFor reads the records that a listing did not show, through the queue.
func (l *Link) askFor(ctx context.Context, a *absence, missing []string) error {
	p := a.party
	if !a.sorted {
		l.alert(ctx, l.unsorted(p))
		return nil
	}
	l.clear(ctx, l.unsorted(p), "the list is in order")
	limit := limitOf(l.brakes.Deletes, l.brakes.DeleteShare, a.known)
	if a.count == a.known && a.known > 1 {
		limit = 0 // an empty list is the likeliest mistake of all, whatever its size
	}
	t, err := l.updateTally(ctx, brakeName(p, brakeMissing), func(*tally) bool { return false })
	if err != nil {
		return err
	}
	if !t.admits(a.count, limit) {
		return l.hold(ctx, p, brakeMissing, a.count, true,
			fmt.Sprintf("%d of %d records are missing from the list of %s", a.count, a.known, p.name),
			fmt.Sprintf("an empty, filtered or wrong-account list looks like that; more than %d are not even asked for", limit))
	}
	if t.Held > 0 {
		if err := l.letGo(ctx, p, brakeMissing); err != nil {
			return err
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return l.queue.Tx(ctx, func(ctx context.Context, tx outbox.Tx) error {
		for _, id := range missing {
			if err := l.queue.Enqueue(ctx, tx, l.readMessage(p, id)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (l *Link) unsorted(p *party) alert.Problem {
	return alert.Problem{Rule: alert.Contract, Link: l.name, System: p.name, Operation: "list", Code: "order", Count: 1, At: l.stamp(),
		Title: fmt.Sprintf("%s does not list %s in byte order of ID", p.name, l.name),
		Why:   "so a record that is missing from the list cannot be told from one that comes later; deletions are not looked for"}
}
