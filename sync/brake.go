package sync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
)

// brakePause is how long braked work waits before it looks again.
const brakePause = 30 * time.Second

// The kinds of brakes. Those of fields are followed by the field's name.
const (
	brakeDeletes = "deletes"
	brakeMissing = "missing"
	brakeNulls   = "nulls/"
	brakeChanges = "changes/"
)

func brakeName(p *party, kind string) string { return string(p.name) + "/" + kind }

// Approve lets go on what a brake holds: "accounting/deletes", as the alert names
// it. For deletions and records that are missing from a list it allows as many as
// the brake held, no more; for a field it allows all. It holds for an hour, over
// a restart too. A brake that holds nothing cannot be approved in advance: what
// it would let through is not known yet.
func (l *Link) Approve(ctx context.Context, brake, by, why string) error {
	if brake == "" || by == "" || why == "" {
		return errors.New("sync: Approve: name the brake, who approves, and why")
	}
	p, kind, ok := l.brakeOf(brake)
	if !ok {
		return fmt.Errorf("sync: Approve: link %q has no brake %q; one is %q", l.name, brake, brakeName(l.parties[0], brakeDeletes))
	}
	now := l.stamp()
	err := l.store.UpdateRecords(ctx, func(tx Tx) error {
		t, err := l.tallyIn(ctx, tx, brake)
		if err != nil {
			return err
		}
		if t.Held == 0 {
			return l.holdsNothing(ctx, tx, brake)
		}
		t.Left, t.Until = t.Held, now.Add(approvalLife)
		if isField(kind) {
			t.Left = anyNumber
		}
		t.Held = 0
		return l.writeTally(ctx, tx, brake, t, Entry{Link: l.name, Kind: string(noteSettled), System: p.name, Rule: "brake " + brake, Why: why, By: by, Seen: now})
	})
	if err != nil {
		return fmt.Errorf("approve %s of %s: %w", brake, l.name, err)
	}
	l.clear(ctx, l.brakeProblem(p, kind), "approved by "+by)
	return nil
}

func isField(kind string) bool {
	return strings.HasPrefix(kind, brakeNulls) || strings.HasPrefix(kind, brakeChanges)
}

// brakesOf are all the brakes of a system.
func (l *Link) brakesOf(p *party) []string {
	kinds := []string{brakeDeletes, brakeMissing}
	for _, f := range l.rules.fields {
		kinds = append(kinds, brakeNulls+f, brakeChanges+f)
	}
	return kinds
}

func (l *Link) brakeOf(brake string) (p *party, kind string, ok bool) {
	system, kind, _ := strings.Cut(brake, "/")
	i := l.rules.indexOf(dovetail.System(system))
	if i < 0 || !slices.Contains(l.brakesOf(l.parties[i]), kind) {
		return nil, "", false
	}
	return l.parties[i], kind, true
}

// heldIn lists the brakes of a system that hold something.
func (l *Link) heldIn(ctx context.Context, tx Tx, p *party) ([]string, error) {
	var names []string
	for _, kind := range l.brakesOf(p) {
		t, err := l.tallyIn(ctx, tx, brakeName(p, kind))
		if err != nil {
			return nil, err
		}
		if t.Held > 0 {
			names = append(names, brakeName(p, kind))
		}
	}
	return names, nil
}

// holdsNothing says which brakes do hold.
func (l *Link) holdsNothing(ctx context.Context, tx Tx, brake string) error {
	var names []string
	for _, p := range l.parties {
		held, err := l.heldIn(ctx, tx, p)
		if err != nil {
			return err
		}
		names = append(names, held...)
	}
	if len(names) == 0 {
		return fmt.Errorf("sync: %q holds nothing, and no other brake does", brake)
	}
	return fmt.Errorf("sync: %q holds nothing; these do: %s", brake, strings.Join(names, ", "))
}

// brakeProblem is what an alert of the brake is known by.
func (l *Link) brakeProblem(p *party, kind string) alert.Problem {
	problem := alert.Problem{Rule: alert.Brake, Link: l.name, System: p.name, Operation: "observe"}
	code, field, _ := strings.Cut(kind, "/")
	problem.Code, problem.Field = code, field
	return problem
}

// hold notes durably that a brake holds so many, and tells a person.
func (l *Link) hold(ctx context.Context, p *party, kind string, held int64, whole bool, title, why string) error {
	name := brakeName(p, kind)
	_, err := l.updateTally(ctx, name, func(t *tally) bool {
		t.Held, t.At, t.Whole = max(held, 1), l.stamp(), whole
		return true
	})
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.holding[name] = true
	l.mu.Unlock()
	problem := l.brakeProblem(p, kind)
	problem.Title, problem.Why, problem.Count, problem.Waiting, problem.At = title, why, 1, held, l.stamp()
	problem.Hint = fmt.Sprintf("check that it is meant, then call Approve(ctx, %q, …)", name)
	l.alert(ctx, problem)
	return nil
}

// letGo notes that a brake which held holds no longer, and tells so.
func (l *Link) letGo(ctx context.Context, p *party, kind string) error {
	_, err := l.updateTally(ctx, brakeName(p, kind), func(t *tally) bool {
		held := t.Held > 0
		t.Held = 0
		return held
	})
	if err != nil {
		return err
	}
	l.noLonger(brakeName(p, kind))
	l.clear(ctx, l.brakeProblem(p, kind), "what it held is no longer there")
	return nil
}

// endBrakes ends the brakes of a system that have had nothing to hold for a
// while: the values came back, the deletions were taken back. What is held looks
// again every brakePause, so silence means that it is gone. What a listing was
// stopped by is ended by the next listing alone.
func (l *Link) endBrakes(ctx context.Context, p *party) error {
	holding, err := l.holdingOf(ctx, p)
	if err != nil {
		return err
	}
	for _, name := range holding {
		t, err := l.updateTally(ctx, name, func(*tally) bool { return false })
		switch {
		case err != nil:
			return err
		case t.Held == 0:
			l.noLonger(name)
		case !t.Whole && l.now().Sub(t.At) > 2*max(brakePause, p.poll):
			if err := l.letGo(ctx, p, kindOf(name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// endListed ends the brakes of fields that a listing was stopped by, since one
// has gone through.
func (l *Link) endListed(ctx context.Context, p *party) error {
	holding, err := l.holdingOf(ctx, p)
	if err != nil {
		return err
	}
	for _, name := range holding {
		t, err := l.updateTally(ctx, name, func(*tally) bool { return false })
		if err == nil && t.Held > 0 && t.Whole && isField(kindOf(name)) {
			err = l.letGo(ctx, p, kindOf(name))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func kindOf(brake string) string {
	_, kind, _ := strings.Cut(brake, "/")
	return kind
}

func (l *Link) noLonger(brake string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.holding, brake)
}

// holdingOf lists the brakes of a system that this process saw hold. At first it
// asks the store what another process, or its own last life, left behind.
func (l *Link) holdingOf(ctx context.Context, p *party) (names []string, err error) {
	l.mu.Lock()
	looked := l.looked[p.index]
	l.mu.Unlock()
	if !looked {
		var held []string
		err := l.store.UpdateRecords(ctx, func(tx Tx) (err error) {
			held, err = l.heldIn(ctx, tx, p)
			return err
		})
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		for _, name := range held {
			l.holding[name] = true
		}
		l.looked[p.index] = true
		l.mu.Unlock()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for name := range l.holding {
		if strings.HasPrefix(name, string(p.name)+"/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// limitOf is how many may pass: a number, or a share of the linked records,
// whichever is larger.
func limitOf(number int, share float64, linked int64) int64 {
	return max(int64(number), int64(share*float64(linked)))
}

// mayDelete stops deleting in a system when too much would be deleted there
// within a day, done and still to do together.
func (l *Link) mayDelete(ctx context.Context, p *party) error {
	wait := later(brakePause, "the brake on deletions holds")
	t, err := l.updateTally(ctx, brakeName(p, brakeDeletes), func(*tally) bool { return false })
	if err != nil {
		return err
	}
	if t.heldJustNow(l.now()) {
		return wait
	}
	counts, err := l.store.CountRecords(ctx, l.name)
	if err != nil {
		return fmt.Errorf("count deletions of %s in %s: %w", l.name, p.name, err)
	}
	waiting, linked := counts.Deleting[p.name], counts.Linked[p.name]
	limit := limitOf(l.brakes.Deletes, l.brakes.DeleteShare, linked)
	switch {
	case t.admits(waiting, limit) && t.Held > 0:
		return l.letGo(ctx, p, brakeDeletes)
	case t.admits(waiting, limit):
		return nil
	}
	err = l.hold(ctx, p, brakeDeletes, waiting, false,
		fmt.Sprintf("%d of %d records are to be deleted in %s", waiting, linked, p.name),
		fmt.Sprintf("with the %d deleted there today that is more than the brake of %d allows; deleting has stopped", t.Done, limit))
	if err != nil {
		return err
	}
	return wait
}

// deleted counts a deletion in a system, in the transaction that records it.
func (l *Link) deleted(ctx context.Context, tx Tx, p *party) error {
	return l.countIn(ctx, tx, brakeName(p, brakeDeletes))
}
