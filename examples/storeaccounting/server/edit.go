package server

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
)

// SignUp is the person of the values that a customer typed when signing up.
const SignUp = "sign-up"

// Edit is what one person did to one field, as the export shows it. Value is
// what the system made of it.
type Edit struct {
	Seq    int64  `json:"seq"`
	At     int64  `json:"at"` // milliseconds of story time
	Person string `json:"person"`
	Record string `json:"record"` // the customer's ID in the store
	Field  string `json:"field"`
	Was    string `json:"was"` // what the person saw there before
	Value  string `json:"value"`
}

// SaveEdit keeps e for the auditor, in the transaction of its effect.
func SaveEdit(ctx context.Context, tx *sql.Tx, e Edit) error {
	const insert = `INSERT INTO edits (seq, at, person, record, field, was, value) VALUES (?, ?, ?, ?, ?, ?, ?)`
	_, err := tx.ExecContext(ctx, insert, e.Seq, e.At, e.Person, e.Record, e.Field, e.Was, e.Value)
	return err
}

// Edits returns every edit in the order of the script.
func (d *Database) Edits(ctx context.Context) ([]Edit, error) {
	rows, err := d.QueryContext(ctx, `SELECT seq, at, person, record, field, was, value FROM edits ORDER BY at, seq`)
	if err != nil {
		return nil, fmt.Errorf("read edits: %w", err)
	}
	defer rows.Close()
	edits := []Edit{}
	for rows.Next() {
		var e Edit
		if err := rows.Scan(&e.Seq, &e.At, &e.Person, &e.Record, &e.Field, &e.Was, &e.Value); err != nil {
			return nil, fmt.Errorf("read edits: %w", err)
		}
		edits = append(edits, e)
	}
	return edits, rows.Err()
}

// ServeEdits is the handler of GET /export/edits.
func (d *Database) ServeEdits(w http.ResponseWriter, r *http.Request) {
	edits, err := d.Edits(r.Context())
	if err != nil {
		WriteProblem(w, Problem{Status: http.StatusInternalServerError, Code: "internal", Detail: "cannot read edits"})
		return
	}
	WriteJSON(w, http.StatusOK, map[string][]Edit{"records": edits})
}
