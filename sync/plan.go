package sync

import (
	"context"
	"fmt"
	"iter"

	"github.com/tectari/dovetail"
)

// A PlannedWrite is one write that would be sent now.
type PlannedWrite struct {
	Link, Key string
	Target    dovetail.Ref
	// Action is create, update, delete, or look (the outcome of the last write
	// is not known, so the record is read first).
	Action string
	// Fields says per field why it would be written.
	Fields map[string]string
}

// Plan lists what would be written, field by field and why, without writing or
// calling any system. It streams; memory does not grow with the backlog.
func (l *Link) Plan(ctx context.Context) iter.Seq2[PlannedWrite, error] {
	return func(yield func(PlannedWrite, error) bool) {
		const batch = 200
		after := ""
		for {
			rows, err := l.store.ScanRecords(ctx, l.name, Outstanding, after, batch)
			if err != nil {
				yield(PlannedWrite{}, fmt.Errorf("plan link %s: %w", l.name, err))
				return
			}
			for _, row := range rows {
				r, err := l.rules.unmarshal(row)
				if err != nil {
					if !yield(PlannedWrite{}, err) {
						return
					}
					continue
				}
				for s := range r.shadow {
					if w := l.outstanding(r, s); w != workNow && w != workWaits {
						continue
					}
					if !yield(l.planned(r, s), nil) {
						return
					}
				}
			}
			if len(rows) < batch {
				return
			}
			after = rows[len(rows)-1].Key
		}
	}
}

func (l *Link) planned(r *record, s int) PlannedWrite {
	sh := &r.shadow[s]
	w := PlannedWrite{Link: l.name, Key: r.key, Target: dovetail.Ref{System: l.rules.systems[s], ID: sh.id}, Action: "update", Fields: make(map[string]string)}
	switch {
	case sh.pending():
		w.Action = "look"
		return w
	case !r.exists:
		w.Action = "delete"
		return w
	case sh.status == unknown:
		w.Action = "create"
	}
	fields := l.patch(r, s, false)
	if w.Action == "create" {
		fields = l.creatable(r, s)
	}
	for _, f := range fields {
		why := "the resolver decided"
		if owner, ok := l.rules.table.Owner(f); ok {
			why = string(l.rules.systems[owner]) + " owns it"
		} else if from := r.from[f].system; from >= 0 {
			why = string(l.rules.systems[from]) + " changed it last"
		}
		w.Fields[l.rules.fields[f]] = why
	}
	return w
}
