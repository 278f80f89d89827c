package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"

	"github.com/nats-io/nats.go/jetstream"
)

// audit compares the stream with the table of orders: every order once, and those
// of a customer in the order in which they were placed.
func audit(ctx context.Context, out io.Writer, db *sql.DB, stream jetstream.Stream) error {
	var placed int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM orders").Scan(&placed); err != nil {
		return err
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return err
	}
	seen := map[int]bool{}
	last := map[string]int{}
	var twice, misplaced int
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
		m, err := stream.GetMsg(ctx, seq)
		if err != nil {
			return err
		}
		var order struct{ Number int }
		if err := json.Unmarshal(m.Data, &order); err != nil {
			return err
		}
		switch {
		case seen[order.Number]:
			twice++
		case order.Number < last[m.Subject]:
			misplaced++
		}
		seen[order.Number] = true
		last[m.Subject] = max(last[m.Subject], order.Number)
	}
	lost := placed - len(seen)
	fmt.Fprintf(out, "%d orders placed, %d messages in the stream: %d lost, %d twice, %d out of order.\n", placed, info.State.Msgs, lost, twice, misplaced)
	if lost != 0 || twice != 0 || misplaced != 0 {
		return fmt.Errorf("the stream is not what was placed")
	}
	return nil
}
