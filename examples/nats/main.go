// Command nats shows an outbox in front of NATS JetStream: orders are placed in
// SQLite, each with its message in the same transaction, while the NATS server is
// stopped and started again. It needs nothing installed; run it with
//
//	go run ./examples/nats
//
// It exits non-zero unless every message is in the stream once and in order.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	_ "modernc.org/sqlite"

	"github.com/tectari/dovetail/alert"
	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/sink/natssink"
	"github.com/tectari/dovetail/store/sqlstore"
)

const pragmas = "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate"

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	dir, err := os.MkdirTemp("", "dovetail-nats-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	broker := &broker{dir: dir}
	if err := broker.start(); err != nil {
		return err
	}
	defer broker.stop()
	conn, err := nats.Connect(broker.url, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}

	// The business data and the queue share one database.
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "shop.db")+pragmas)
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "CREATE TABLE orders (number INTEGER PRIMARY KEY, customer TEXT NOT NULL)"); err != nil {
		return err
	}
	store := sqlstore.New(db, sqlstore.SQLite)
	if err := store.Migrate(ctx); err != nil {
		return err
	}

	// The stream forgets the ID of a message after an hour: so long may an outage
	// last, and what is published again is still stored once.
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}, Duplicates: time.Hour})
	if err != nil {
		return err
	}
	sink, err := natssink.New(natssink.Config{JetStream: js, Stream: "ORDERS", Window: time.Hour})
	if err != nil {
		return err
	}
	if err := sink.Check(ctx); err != nil {
		return err
	}
	alerts, err := alert.New(alert.Config{AllowSilence: true}) // a real program says whom to wake
	if err != nil {
		return err
	}
	queue, err := outbox.New(outbox.Config{Store: store, Alerts: alerts, Destinations: []outbox.Destination{{Name: "nats", Handler: sink}}})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- queue.Run(running) }()

	for number := 1; number <= 300; number++ {
		if err := placeOrder(ctx, db, queue, number); err != nil {
			return err
		}
		switch number {
		case 100:
			if _, err := waitFor(ctx, queue, func(l outbox.Lag) bool { return l.Waiting < 50 }); err != nil {
				return err
			}
			broker.stop()
			fmt.Fprintln(out, "100 orders placed, most of them delivered. NATS stops.")
		case 200:
			lag, err := waitFor(ctx, queue, func(l outbox.Lag) bool { return l.Down })
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "200 orders placed, the last 100 without NATS. %d messages wait: %s.\n", lag.Waiting, lag.DownWhy)
			if err := broker.start(); err != nil {
				return err
			}
			fmt.Fprintln(out, "NATS runs again.")
		}
	}
	if _, err := waitFor(ctx, queue, func(l outbox.Lag) bool { return l.Waiting == 0 }); err != nil {
		return err
	}
	stop()
	if err := <-ended; err != nil {
		return err
	}
	return audit(ctx, out, db, stream)
}
