package sync

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/alert"
)

const (
	// parkedLook is how often it is looked whether what was parked still is.
	parkedLook = time.Minute
	// strayRest is how long a record that belongs to nothing of ours is not seen
	// before it is no problem any more. Nothing of it is stored.
	strayRest = 24 * time.Hour
	// ruleStray is the rule of a note on such a record, and the code of its problem;
	// codeRecord is that of a record of ours that is parked as a whole. None of them
	// is empty: to clear a problem without a code would end those with one.
	ruleStray  = "stray"
	codeRecord = "record"
)

// parkedLoop ends the problems of what no longer waits for a person.
func (l *Link) parkedLoop(ctx context.Context) {
	ticker := time.NewTicker(parkedLook)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := l.endParked(ctx); err != nil && ctx.Err() == nil {
			l.observer.Record(ctx, dovetail.Event{Name: "sync.parked", Time: l.now(), Link: l.name, Outcome: "not looked at", Err: err, Class: dovetail.Classify(err)})
		}
	}
}

// endParked ends each open problem of parked records of which no record waits any
// more: a person decided it, a newer change did, or another process. The store is
// asked, not what this process remembers.
func (l *Link) endParked(ctx context.Context) error {
	open, err := l.alerts.Open(ctx)
	if err != nil {
		return fmt.Errorf("list the parked problems of %s: %w", l.name, err)
	}
	open = slices.DeleteFunc(open, func(n alert.Notification) bool {
		return n.Problem.Rule != alert.ParkedRecord || n.Problem.Link != l.name
	})
	if len(open) == 0 {
		return nil
	}
	there, err := l.parkedCauses(ctx)
	if err != nil {
		return err
	}
	var over []alert.Problem
	for _, n := range open {
		switch {
		case n.Problem.Code == ruleStray:
			if l.now().Sub(n.Last) >= strayRest {
				l.clear(ctx, n.Problem, "it has not been seen for "+strayRest.String())
			}
		case !there[causeOf(n.Problem)]:
			over = append(over, n.Problem)
			l.clear(ctx, n.Problem, "no record waits for that any more")
		}
	}
	if len(over) == 0 {
		return nil
	}
	// One that was parked since we looked has told so before the end, or will after
	// it; the first kind is told again.
	if there, err = l.parkedCauses(ctx); err != nil {
		return err
	}
	for _, p := range over {
		if there[causeOf(p)] {
			p.Count, p.At = 1, l.stamp()
			l.alert(ctx, p)
		}
	}
	return nil
}

// A cause is why records are parked, as far as a problem tells causes apart. A
// record that is parked as a whole has neither.
type cause struct {
	system dovetail.System
	field  string
}

func causeOf(p alert.Problem) cause {
	if p.Field == "" {
		return cause{}
	}
	return cause{p.System, p.Field}
}

// parkedCauses are the causes that records are parked for now.
func (l *Link) parkedCauses(ctx context.Context) (map[cause]bool, error) {
	const batch = 200
	causes := make(map[cause]bool)
	for after := ""; ; {
		rows, err := l.store.ScanRecords(ctx, l.name, Parked, after, batch)
		if err != nil {
			return nil, fmt.Errorf("list what is parked of %s: %w", l.name, err)
		}
		for _, row := range rows {
			after = row.Key
			r, err := l.rules.unmarshal(row)
			if err != nil {
				return nil, err
			}
			l.addCauses(r, causes)
		}
		if len(rows) < batch {
			return causes, nil
		}
	}
}

func (l *Link) addCauses(r *record, causes map[cause]bool) {
	if r.parked != "" {
		causes[cause{}] = true
	}
	for f, name := range l.rules.fields {
		if r.isHeld(f) {
			causes[cause{l.rules.nameOf(r.held[f].system), name}] = true
		}
		for s := range r.shadow {
			sh := &r.shadow[s]
			if sh.refused == nil || sh.refused[f] == 0 || sh.refused[f] != r.revs[f] {
				continue
			}
			causes[cause{l.rules.systems[s], name}] = true
			if sh.status == unknown {
				causes[cause{}] = true // the create was refused, as a whole
			}
		}
	}
}
