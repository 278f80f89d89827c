package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/tectari/dovetail/examples/storeaccounting/orders"
)

// parkRows sets bad rows aside, by line and with the reason, where a person
// finds them. The rest of the file goes through. In a directory that stays, a file
// holds them all; else all are printed.
func parkRows(out io.Writer, d *directory, bad []orders.BadRow) error {
	shown := len(bad)
	if !d.temporary {
		shown = min(shown, 20)
	}
	for _, row := range bad[:shown] {
		fmt.Fprintf(out, "parked  line %d (order %q): %s\n", row.Line, row.OrderID, row.Reason)
	}
	if len(bad) == 0 || d.temporary {
		return nil
	}
	path := filepath.Join(d.path, "parked-rows.jsonl")
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("set bad rows aside: %w", err)
	}
	enc := json.NewEncoder(f)
	for _, row := range bad {
		if err := enc.Encode(row); err != nil {
			return errors.Join(fmt.Errorf("set bad rows aside: %w", err), f.Close())
		}
	}
	if n := len(bad) - shown; n > 0 {
		fmt.Fprintf(out, "parked  … and %d more rows, all in %s\n", n, path)
	}
	return f.Close()
}
