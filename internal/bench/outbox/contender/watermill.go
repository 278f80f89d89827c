package contender

import (
	"context"
	"database/sql"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wmsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"

	"github.com/tectari/dovetail/internal/bench/outbox/harness"
)

// watermills are Watermill's SQL Pub/Sub: its default schema, the same tuned, and
// its queue schema. The queue schema loses what is left of a batch when the
// subscriber is closed within it; it is measured so that nobody can say that it
// was left out because it is fast.
func watermills() []harness.Contender {
	const tuned = 1000
	const often = 2 * time.Millisecond
	list := []harness.Contender{
		{
			Name: "Watermill default", Database: "postgres", Settings: "DefaultPostgreSQLSchema, SubscribeBatchSize 100, PollInterval 1 s", Ordered: true,
			Open: openWatermillPostgres(wmsql.DefaultPostgreSQLSchema{}, wmsql.DefaultPostgreSQLOffsetsAdapter{}, 0, leftPostgres),
		},
		{
			Name: "Watermill tuned", Database: "postgres", Settings: "DefaultPostgreSQLSchema, SubscribeBatchSize 1000, PollInterval 2 ms", Ordered: true,
			Open: openWatermillPostgres(wmsql.DefaultPostgreSQLSchema{SubscribeBatchSize: tuned}, wmsql.DefaultPostgreSQLOffsetsAdapter{}, often, leftPostgres),
		},
		{
			Name: "Watermill queue", Database: "postgres", Ordered: true,
			Settings: "PostgreSQLQueueSchema, SubscribeBatchSize 1000, PollInterval 2 ms, DeleteOnAck (loses messages when it is closed within a batch)",
			Open: openWatermillPostgres(wmsql.PostgreSQLQueueSchema{SubscribeBatchSize: tuned},
				wmsql.PostgreSQLQueueOffsetsAdapter{DeleteOnAck: true}, often, leftQueue),
		},
		{
			Name: "Watermill tuned", Database: "mariadb", Settings: "DefaultMySQLSchema, SubscribeBatchSize 1000, PollInterval 2 ms", Ordered: true,
			Open: openWatermillMariaDB(wmsql.DefaultMySQLSchema{SubscribeBatchSize: tuned}, wmsql.DefaultMySQLOffsetsAdapter{}, often, leftMariaDB),
		},
		{
			Name: "Watermill queue", Database: "mariadb", Ordered: true,
			Settings: "MySQLQueueSchema, SubscribeBatchSize 1000, PollInterval 2 ms, DeleteOnAck (loses messages when it is closed within a batch)",
			Open:     openWatermillMariaDB(wmsql.MySQLQueueSchema{SubscribeBatchSize: tuned}, wmsql.MySQLQueueOffsetsAdapter{DeleteOnAck: true}, often, leftQueue),
		},
	}
	for i := range list {
		list[i].Role = harness.Peer
		list[i].Version = version("github.com/ThreeDotsLabs/watermill-sql/v4") + " on " + version("github.com/ThreeDotsLabs/watermill")
	}
	return list
}

// What its tables say is not acknowledged.
const (
	leftQueue    = `SELECT count(*) FROM watermill_sink`
	leftPostgres = `
SELECT count(*) FROM watermill_sink m WHERE NOT EXISTS (
  SELECT 1 FROM watermill_offsets_sink o
  WHERE (m.transaction_id, m."offset") <= (o.last_processed_transaction_id, o.offset_acked))`
	leftMariaDB = "SELECT count(*) FROM watermill_sink WHERE `offset` > coalesce((SELECT max(offset_acked) FROM watermill_offsets_sink), 0)"
)

// watermillQueue is Watermill's publisher and subscriber.
type watermillQueue struct {
	config     wmsql.SubscriberConfig
	db         wmsql.Beginner
	subscriber *wmsql.Subscriber
	left       string
	// inTx writes a business transaction.
	inTx  func(ctx context.Context, e harness.Event, enqueue func(wmsql.ContextExecutor) error) error
	count func(ctx context.Context, query string) (int64, error)
	close func() error
}

func openWatermillPostgres(schema wmsql.SchemaAdapter, offsets wmsql.OffsetsAdapter, poll time.Duration, left string) func(context.Context, string) (harness.System, error) {
	return func(ctx context.Context, dsn string) (harness.System, error) {
		p, err := openPool(ctx, dsn)
		return &watermillQueue{
			config: wmsql.SubscriberConfig{SchemaAdapter: schema, OffsetsAdapter: offsets, PollInterval: poll},
			db:     wmsql.BeginnerFromPgx(p.Pool), left: left, count: p.count, close: p.Close,
			inTx: func(ctx context.Context, e harness.Event, enqueue func(wmsql.ContextExecutor) error) error {
				return p.inTx(ctx, e, func(tx pgx.Tx) error { return enqueue(wmsql.TxFromPgx(tx)) })
			},
		}, err
	}
}

func openWatermillMariaDB(schema wmsql.SchemaAdapter, offsets wmsql.OffsetsAdapter, poll time.Duration, left string) func(context.Context, string) (harness.System, error) {
	return func(_ context.Context, dsn string) (harness.System, error) {
		db, err := openSQL("mysql", dsn)
		if err != nil {
			return nil, err
		}
		return &watermillQueue{
			config: wmsql.SubscriberConfig{SchemaAdapter: schema, OffsetsAdapter: offsets, PollInterval: poll},
			db:     wmsql.BeginnerFromStdSQL(db), left: left, close: db.Close,
			inTx: func(ctx context.Context, e harness.Event, enqueue func(wmsql.ContextExecutor) error) error {
				return inTx(ctx, db, businessQuestion, e, func(tx *sql.Tx) error { return enqueue(wmsql.TxFromStdSQL(tx)) })
			},
			count: func(ctx context.Context, query string) (int64, error) { return counted(ctx, db, query) },
		}, nil
	}
}

func (w *watermillQueue) Setup(context.Context, bool) (err error) {
	w.subscriber, err = wmsql.NewSubscriber(w.db, w.config, watermill.NopLogger{})
	if err != nil {
		return err
	}
	return w.subscriber.SubscribeInitialize(destination)
}

func (w *watermillQueue) Writer(how harness.Transaction) (harness.Write, error) {
	if how != harness.Callers {
		return nil, harness.ErrUnable
	}
	return func(ctx context.Context, e harness.Event) error {
		return w.inTx(ctx, e, func(tx wmsql.ContextExecutor) error { return w.publish(tx, e) })
	}, nil
}

// publish publishes events with a publisher made for tx, as its documentation
// does.
func (w *watermillQueue) publish(tx wmsql.ContextExecutor, events ...harness.Event) error {
	publisher, err := wmsql.NewPublisher(tx, wmsql.PublisherConfig{SchemaAdapter: w.config.SchemaAdapter}, watermill.NopLogger{})
	if err != nil {
		return err
	}
	messages := make([]*message.Message, len(events))
	for i, e := range events {
		messages[i] = message.NewMessage(watermill.NewUUID(), e.Body)
		messages[i].Metadata.Set("key", e.Key)
	}
	return publisher.Publish(destination, messages...)
}

func (w *watermillQueue) Bulk(_ context.Context, events []harness.Event) error {
	return w.publish(w.db, events...)
}

func (w *watermillQueue) Consume(ctx context.Context, deliver func([]byte)) error {
	messages, err := w.subscriber.Subscribe(context.WithoutCancel(ctx), destination)
	if err != nil {
		return err
	}
	closed := make(chan error, 1)
	go func() {
		<-ctx.Done()
		closed <- w.subscriber.Close()
	}()
	for m := range messages {
		deliver(m.Payload)
		m.Ack()
	}
	return <-closed
}

func (w *watermillQueue) Left(ctx context.Context) (int64, error) { return w.count(ctx, w.left) }

func (w *watermillQueue) Close() error { return w.close() }
