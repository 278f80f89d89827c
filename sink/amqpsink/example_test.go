package amqpsink_test

import (
	"fmt"

	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/sink/amqpsink"
)

// A destination that publishes to the exchange orders. The sink connects with its
// first message; a broker that is down makes the messages wait.
func ExampleNew() {
	sink, err := amqpsink.New(amqpsink.Config{
		URL:        "amqp://guest:guest@localhost/",
		Exchange:   "orders",
		RoutingKey: func(m outbox.Message) string { return "order." + m.Topic },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer sink.Close() // when the queue has ended
	orders := outbox.Destination{Name: "orders", Handler: sink}
	fmt.Println("messages to", orders.Name, "go to the exchange")
	// Output: messages to orders go to the exchange
}

// What is wrong is said without the password.
func ExampleNew_faults() {
	_, err := amqpsink.New(amqpsink.Config{URL: "amqp://me:pass word@broker/"})
	fmt.Println(err)
	// Output: amqpsink: AMQP002 Config.URL: is not an AMQP URL; "amqps://user:password@host/vhost", with the user and password percent-encoded
}
