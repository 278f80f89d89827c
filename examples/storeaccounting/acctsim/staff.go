package acctsim

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/tectari/dovetail/examples/storeaccounting/server"
	"github.com/tectari/dovetail/examples/storeaccounting/story"
)

// Apply makes scripted edits happen in accounting's own screens, which work
// while its API is down, all in one transaction with their markers. An edit of
// a contact that does not exist yet stays undone: try it again later. It
// returns the actions that are done with.
func (s *Server) Apply(ctx context.Context, actions []story.Action) (done []int64, err error) {
	err = s.Tx(ctx, func(tx *sql.Tx) error {
		for _, a := range actions {
			applied, err := s.edit(ctx, tx, a)
			if err != nil {
				return fmt.Errorf("action %d: %w", a.Seq, err)
			}
			if applied {
				done = append(done, a.Seq)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("apply to accounting: %w", err)
	}
	s.Count(Edits, int64(len(done)))
	return done, nil
}

// Drop gives actions up for good.
func (s *Server) Drop(ctx context.Context, actions []story.Action) error {
	err := s.Tx(ctx, func(tx *sql.Tx) error {
		for _, a := range actions {
			if err := server.MarkDone(ctx, tx, a.Seq); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("drop edits in accounting: %w", err)
	}
	s.Count(EditsDropped, int64(len(actions)))
	return nil
}

func (s *Server) edit(ctx context.Context, tx *sql.Tx, a story.Action) (applied bool, err error) {
	var n int64
	err = tx.QueryRowContext(ctx, `SELECT n FROM contacts WHERE reference = ? ORDER BY n LIMIT 1`, a.Edit.Customer).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	before, err := contactIn(ctx, tx, n)
	if err != nil {
		return false, err
	}
	after, err := s.change(ctx, tx, before, map[string]string{a.Edit.Field: a.Edit.Value}, a.Edit.Person)
	if err != nil {
		return false, err
	}
	err = server.SaveEdit(ctx, tx, server.Edit{
		Seq: a.Seq, At: s.clock.Millis(), Person: a.Edit.Person, Record: a.Edit.Customer, Field: a.Edit.Field,
		Was: *before.field(a.Edit.Field), Value: *after.field(a.Edit.Field),
	})
	if err != nil {
		return false, err
	}
	return true, server.MarkDone(ctx, tx, a.Seq)
}
