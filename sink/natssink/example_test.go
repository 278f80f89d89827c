package natssink_test

import (
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/sink/natssink"
)

// A destination that publishes to the stream ORDERS. The server may be down when
// the program starts: the messages wait.
func ExampleNew() {
	conn, err := nats.Connect(nats.DefaultURL, nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		fmt.Println(err)
		return
	}
	sink, err := natssink.New(natssink.Config{
		JetStream: js,
		Stream:    "ORDERS",
		Subject:   func(m outbox.Message) string { return "orders." + m.Topic },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	orders := outbox.Destination{Name: "orders", Handler: sink}
	fmt.Println("messages to", orders.Name, "go to the stream")
	// Output: messages to orders go to the stream
}

// Everything that is wrong is said at once.
func ExampleNew_faults() {
	_, err := natssink.New(natssink.Config{})
	fmt.Println(err)
	// Output:
	// natssink: 2 faults:
	// 	NATS001 Config.JetStream: required; jetstream.New(conn)
	// 	NATS003 Config.Stream: required; the stream that keeps the messages: "ORDERS"
}
