package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"math"

	"github.com/tectari/dovetail/outbox"
)

var _ outbox.OperationLog = (*Store)(nil)

// QueueOperations returns what people did to the queue, newest first.
func (s *Store) QueueOperations(ctx context.Context, f outbox.OperationFilter) ([]outbox.Recorded, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	before, below := int64(math.MaxInt64), int64(math.MaxInt64)
	if !f.Before.IsZero() {
		before = millis(f.Before)
	}
	if f.Below > 0 {
		below = f.Below
	}
	var out []outbox.Recorded
	args := []any{f.Destination, f.Who, string(f.Action), millis(f.Since), before, below, f.Limit}
	err := each(ctx, s.read(), s.dialect.outbox.operations, args, func(scan func(...any) error) error {
		var (
			r      outbox.Recorded
			at     int64
			filter string
		)
		if err := scan(&r.ID, &at, &r.Who, &r.Why, &r.Action, &r.Destination, &filter, &r.Messages); err != nil {
			return err
		}
		r.At = fromMillis(at)
		out = append(out, r)
		return json.Unmarshal([]byte(filter), &out[len(out)-1].Filter)
	})
	if err != nil {
		return nil, fmt.Errorf("list operations: %w", err)
	}
	return out, nil
}
