// Command outbox shows the queue alone, in an embedded SQLite database: orders are
// placed and promised to accounting in one transaction, while accounting goes down,
// refuses one of them and comes back. It needs nothing installed; run it with
//
//	go run ./examples/outbox
//
// It exits non-zero unless every invoice was made once and in order.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite"

	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/store/sqlstore"
)

const pragmas = "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate"

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "outbox:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	dir, err := os.MkdirTemp("", "dovetail-outbox-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "shop.db")+pragmas)
	if err != nil {
		return err
	}
	defer db.Close()
	store := sqlstore.New(db, sqlstore.SQLite)
	if err := errors.Join(store.Migrate(ctx), store.Verify(ctx)); err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, "CREATE TABLE orders (id TEXT PRIMARY KEY, customer TEXT NOT NULL, cents INTEGER NOT NULL)"); err != nil {
		return err
	}

	// Whoever must know of an outage or a dead letter. Here it is this terminal.
	told := make(chan string, 16)
	person := alert.SinkFunc("terminal", func(_ context.Context, n alert.Notification) error {
		told <- n.Summary()
		return nil
	})
	alerts, err := alert.New(alert.Config{Store: store, Routes: []alert.Route{{To: []alert.Sink{person}, Wait: -1}}, Settle: -1}) // at once: this is a story
	if err != nil {
		return err
	}
	books := &accounting{}
	queue, err := outbox.New(outbox.Config{
		Store: store, Alerts: alerts, Observer: quiet(),
		Destinations: []outbox.Destination{{
			Name: "accounting", Handler: books,
			ProbeEvery: 200 * time.Millisecond, // patience is for real systems
			Poison:     outbox.BlockKey,        // a customer's later invoices wait for the one that was refused
		}},
	})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 2)
	go func() { ended <- queue.Run(running) }()
	go func() { ended <- alerts.Run(running) }()
	err = story(ctx, out, db, queue, books, told)
	stop()
	return errors.Join(err, <-ended, <-ended)
}

// story is what happens.
func story(ctx context.Context, out io.Writer, db *sql.DB, queue *outbox.Queue, books *accounting, told <-chan string) error {
	alerted := func() error {
		select {
		case text := <-told:
			fmt.Fprintln(out, "   a person is told:", text)
			return nil
		case <-time.After(20 * time.Second):
			return errors.New("nobody was told")
		}
	}
	fmt.Fprintln(out, "10 orders are placed; accounting works.")
	if err := place(ctx, db, queue, 0, 10); err != nil {
		return err
	}
	if err := until(ctx, func() bool { return books.count() == 10 }); err != nil {
		return err
	}
	fmt.Fprintln(out, "Accounting goes down. 20 more orders are placed; nobody who places one notices.")
	books.set(true, "")
	if err := place(ctx, db, queue, 10, 30); err != nil {
		return err
	}
	if err := until(ctx, func() bool { return lag(ctx, queue).Down }); err != nil {
		return err
	}
	if err := alerted(); err != nil {
		return err
	}
	waiting := lag(ctx, queue)
	fmt.Fprintf(out, "%d messages wait in the database: %s.\n", waiting.Waiting, waiting.DownWhy)
	fmt.Fprintln(out, "It comes back, and refuses order-017.")
	books.set(false, "order-017")
	if err := until(ctx, func() bool { return lag(ctx, queue).Dead == 1 && lag(ctx, queue).Waiting == 0 }); err != nil {
		return err
	}
	if err := errors.Join(alerted(), alerted()); err != nil {
		return err
	}
	letters, err := queue.DeadLetters(ctx, outbox.Filter{Destination: "accounting"})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s is a dead letter: %s. %d of the same customer wait behind it.\n", letters[0].ID, letters[0].Error, lag(ctx, queue).Parked)
	fmt.Fprintln(out, "Somebody mends it and replays the letter.")
	books.set(false, "")
	if _, err := queue.Replay(ctx, outbox.Filter{IDs: []string{letters[0].ID}}, "ana"); err != nil {
		return err
	}
	if err := until(ctx, func() bool { return books.count() == 30 }); err != nil {
		return err
	}
	if err := alerted(); err != nil {
		return err
	}
	return books.audit(out)
}

// place stores orders and promises an invoice for each: both happen, or neither.
func place(ctx context.Context, db *sql.DB, queue *outbox.Queue, from, to int) error {
	for n := from; n < to; n++ {
		id, customer := fmt.Sprintf("order-%03d", n), fmt.Sprint("customer-", n%4)
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO orders (id, customer, cents) VALUES (?, ?, ?)", id, customer, 100*n)
		if err == nil {
			err = queue.Enqueue(ctx, tx, outbox.Message{
				ID: "invoice-" + id, To: "accounting", Topic: "invoice.create",
				Key:     customer, // one customer's messages stay in order
				Payload: []byte(id),
			})
		}
		if err != nil {
			return errors.Join(err, tx.Rollback())
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		queue.Wake() // a hint: without it, the relay finds the message by polling
	}
	return nil
}

func lag(ctx context.Context, queue *outbox.Queue) outbox.Lag {
	lags, err := queue.Lag(ctx)
	if err != nil || len(lags) == 0 {
		return outbox.Lag{}
	}
	return lags[0]
}

// until waits for something to become true, for 20 seconds at most.
func until(ctx context.Context, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("it does not come to an end: %w", ctx.Err())
		}
	}
	return nil
}
