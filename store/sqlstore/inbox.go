package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/tectari/dovetail/outbox"
)

var _ outbox.Inbox = (*Store)(nil)

// SeenMessage remembers in tx that a consumer has had a message; see outbox.Inbox.
// That no two transactions are first rests on the primary key of dovetail_inbox.
func (s *Store) SeenMessage(ctx context.Context, tx outbox.Tx, consumer, id string) (first bool, err error) {
	if err := s.ready(); err != nil {
		return false, err
	}
	x, err := s.execer(tx)
	if err != nil {
		return false, err
	}
	n, err := x.exec(ctx, s.dialect.outbox.see, consumer, id, s.clock())
	return n > 0, err
}

// ForgetMessages forgets the oldest of what was remembered.
func (s *Store) ForgetMessages(ctx context.Context, age time.Duration, limit int) (int, error) {
	var forgotten int64
	err := s.update(ctx, func(tx *session) error {
		var err error
		forgotten, err = tx.exec(ctx, s.dialect.outbox.forgetSeen, s.clock(), toMillis(age), limit)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("forget messages of the inbox: %w", err)
	}
	return int(forgotten), nil
}
