package main

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/tectari/dovetail/outbox"
)

// placeOrder stores an order and promises its message. Both happen, or neither.
func placeOrder(ctx context.Context, db *sql.DB, queue *outbox.Queue, number int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	customer := fmt.Sprintf("customer-%d", number%7)
	if _, err := tx.ExecContext(ctx, "INSERT INTO orders (number, customer) VALUES (?, ?)", number, customer); err != nil {
		return err
	}
	if err := queue.Enqueue(ctx, tx, outbox.Message{
		ID:      fmt.Sprintf("order-%d", number), // the stream knows a repetition by it
		To:      "nats",
		Topic:   "orders.placed." + customer,
		Key:     customer, // one customer's messages stay in order
		Payload: fmt.Appendf(nil, `{"number":%d}`, number),
	}); err != nil {
		return err
	}
	return tx.Commit()
}
