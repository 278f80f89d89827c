package acctsim

import (
	"context"
	"database/sql"
	"net/http"

	"github.com/tectari/dovetail/examples/storeaccounting/server"
)

// fate is what happens to the answer of a write that is done.
type fate int

const (
	answered fate = iota
	replyLost
	brokenAfter
)

// fateOf decides by the call alone, and strikes each call only once: trying
// again gets through.
func (s *Server) fateOf(ctx context.Context, tx *sql.Tx, call string) (fate, error) {
	chance := server.Chance(s.seed, "fate", call)
	if s.tame || chance >= 130 {
		return answered, nil
	}
	result, err := tx.ExecContext(ctx, `INSERT INTO faulted (call) VALUES (?) ON CONFLICT DO NOTHING`, call)
	if err != nil {
		return answered, err
	}
	n, err := result.RowsAffected()
	switch {
	case err != nil || n == 0:
		return answered, err
	case chance < 100:
		return replyLost, nil
	default:
		return brokenAfter, nil
	}
}

// answer sends record to the caller, unless fate is against it.
func (s *Server) answer(w http.ResponseWriter, f fate, status int, version int64, record any) {
	switch f {
	case replyLost:
		s.Count(RepliesLost, 1)
		panic(http.ErrAbortHandler) // cuts the connection
	case brokenAfter:
		s.Count(BrokenAfter, 1)
		server.WriteProblem(w, server.Problem{Status: http.StatusInternalServerError, Code: "internal", Detail: "something broke here"})
	default:
		server.ETag(w, version)
		server.WriteJSON(w, status, record)
	}
}
