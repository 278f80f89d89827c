package watermillsink_test

import (
	"context"
	"fmt"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/sink/watermillsink"
)

// Any publisher of Watermill will do; this one keeps everything in memory.
func ExampleNew() {
	pubsub := gochannel.NewGoChannel(gochannel.Config{}, watermill.NopLogger{})
	defer pubsub.Close()
	orders, err := pubsub.Subscribe(context.Background(), "orders")
	if err != nil {
		fmt.Println(err)
		return
	}
	sink, err := watermillsink.New(watermillsink.Config{Publisher: pubsub})
	if err != nil {
		fmt.Println(err)
		return
	}
	// The queue does this, once outbox.Destination{Name: "orders", Handler: sink}
	// is one of its destinations.
	err = sink.Handle(context.Background(), outbox.Delivery{Message: outbox.Message{ID: "order-7", Topic: "orders", Payload: []byte("7 chairs")}})
	if err != nil {
		fmt.Println(err)
		return
	}
	m := <-orders
	m.Ack()
	fmt.Println(m.UUID, string(m.Payload))
	// Output: order-7 7 chairs
}
