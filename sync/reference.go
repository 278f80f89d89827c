package sync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tectari/dovetail"
)

// retryParent is how long a record waits before it asks for its parent again,
// where nothing wakes it.
const retryParent = 2 * time.Second

// translateOut turns our keys of other records into the IDs that the system
// knows. It returns the parents that are not there yet.
func (l *Link) translateOut(ctx context.Context, p *party, _ *record, values []dovetail.Value) (missing []parent, err error) {
	for f, to := range l.references {
		if to == nil || values[f].IsEmpty() || !p.held[f] {
			continue
		}
		key := values[f].Text()
		row, ok, err := to.store.LoadRecord(ctx, to.name, key)
		if err != nil {
			return nil, fmt.Errorf("load %s/%s: %w", to.name, key, err)
		}
		if !ok {
			return nil, &dovetail.Error{Fault: dovetail.Invalid, Op: "translate a reference", Field: l.rules.fields[f], Err: errors.New("the record it refers to is not known")}
		}
		parentRecord, err := to.rules.unmarshal(row)
		if err != nil {
			return nil, err
		}
		there := to.rules.indexOf(p.name)
		if sh := &parentRecord.shadow[there]; sh.status == linked {
			values[f] = dovetail.String(sh.id)
			continue
		}
		missing = append(missing, parent{link: to.name, key: key, system: p.index})
	}
	return missing, nil
}
