package sync

import (
	"context"
	"errors"
	"fmt"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/ownership"
)

// A TransferReport says what a change of rules means for the stored records.
type TransferReport struct {
	// Differs counts, per field, the records whose owner under the new rules
	// shows another value than the one held to be right until now. Applied, those
	// values become right and travel.
	Differs map[string]int
	Records int
	Applied bool
}

// Transfer moves the link to the rules of its Config. Without apply it only
// counts, and writes nothing. With apply, each field whose owner shows another
// value takes that value, as if the owner had just changed it, and the link may
// run again. By and why are kept. Nothing else may run the link meanwhile: a
// process that does so all the same, under the old rules, is refused within
// seconds, but what it did in them is not moved. A Transfer that was cut short is called again: until
// it is complete the link runs under neither the old rules nor the new ones.
func (l *Link) Transfer(ctx context.Context, apply bool, by, why string) (TransferReport, error) {
	rep := TransferReport{Differs: make(map[string]int), Applied: false}
	if apply && (by == "" || why == "") {
		return rep, errors.New("sync: Transfer: say who decides, and why")
	}
	hash := l.rules.table.Hash()
	if apply {
		if err := l.noteRules(ctx, "moving to "+hash); err != nil {
			return rep, err
		}
	}
	const batch = 200
	after := ""
	for {
		rows, err := l.store.ScanRecords(ctx, l.name, AllRecords, after, batch)
		if err != nil {
			return rep, fmt.Errorf("transfer link %s: %w", l.name, err)
		}
		for _, row := range rows {
			fields, err := l.transferRecord(ctx, row, apply, by, why)
			if err != nil {
				return rep, fmt.Errorf("transfer link %s: %w", l.name, err)
			}
			rep.Records++
			for _, f := range fields {
				rep.Differs[f]++
			}
		}
		if len(rows) < batch {
			break
		}
		after = rows[len(rows)-1].Key
	}
	if !apply {
		return rep, nil
	}
	rep.Applied = true
	return rep, l.noteRules(ctx, hash, Entry{Link: l.name, Kind: string(noteSettled), Rule: "transfer", Why: why, By: by, Seen: l.stamp()})
}

// noteRules stores which rules the records were made by.
func (l *Link) noteRules(ctx context.Context, rules string, entries ...Entry) error {
	err := l.store.UpdateRecords(ctx, func(tx Tx) error {
		return tx.Write(ctx, Changes{Link: l.name, Meta: map[string]string{"rules": rules}, Entries: entries})
	})
	if err != nil {
		return fmt.Errorf("transfer link %s: %w", l.name, err)
	}
	return nil
}

// transferRecord names the fields whose owner shows something else, and with
// apply takes it over. Every record is stored anew then, also where no value
// moves: under the new rules other systems may lag.
func (l *Link) transferRecord(ctx context.Context, row Row, apply bool, by, why string) (fields []string, err error) {
	if !apply {
		r, err := l.rules.unmarshal(row)
		if err != nil {
			return nil, err
		}
		l.differing(r, func(f int, _ *shadow, _ dovetail.Value) { fields = append(fields, l.rules.fields[f]) })
		return fields, nil
	}
	err = l.change(ctx, row.Key, func(_ Tx, r *record, notes *journal) (bool, error) {
		fields = nil // this may run again
		l.differing(r, func(f int, sh *shadow, v dovetail.Value) {
			fields = append(fields, l.rules.fields[f])
			system, _ := l.rules.table.Owner(f)
			l.rules.set(r, f, v, origin{system: system, at: sh.at, by: sh.by}, l.stamp(), "transfer", why+" ("+by+")", notes)
			sh.rev[f] = r.revs[f]
		})
		l.releaseOwned(r)
		return true, nil
	})
	return fields, err
}

// differing calls fn with each field whose owner shows another value than the
// one held to be right.
func (l *Link) differing(r *record, fn func(f int, sh *shadow, v dovetail.Value)) {
	for f := range l.rules.fields {
		s, ok := l.rules.table.Owner(f)
		if !ok || r.shadow[s].status != linked || l.rules.table.Role(f, s) != ownership.Owner {
			continue
		}
		if v := r.shadow[s].ack[f]; !v.IsAbsent() && v != r.values[f] {
			fn(f, &r.shadow[s], v)
		}
	}
}

// releaseOwned ends the wait of fields that were parked because two systems that
// shared them disagreed, and that have an owner now: it has decided. Where a
// person is to be asked of every trespass, the question stands.
func (l *Link) releaseOwned(r *record) {
	for f := range l.rules.fields {
		if s, ok := l.rules.table.Owner(f); ok && r.isHeld(f) && (l.rules.table.Trespass(f) != ownership.Ask || r.held[f].system == s) {
			r.release(f)
		}
	}
}
