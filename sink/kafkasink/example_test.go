package kafkasink_test

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tectari/dovetail/outbox"
	"github.com/tectari/dovetail/sink/kafkasink"
)

// A sink that produces to a broker, here one inside the test.
func ExampleNew() {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "orders"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer broker.Close()
	client, err := kgo.NewClient(append(kafkasink.Options(), kgo.SeedBrokers(broker.ListenAddrs()...))...)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	sink, err := kafkasink.New(kafkasink.Config{Client: client, Topic: func(outbox.Message) string { return "orders" }})
	if err != nil {
		fmt.Println(err)
		return
	}
	// The queue does this, once outbox.Destination{Name: "orders", Handler: sink}
	// is one of its destinations.
	err = sink.Handle(context.Background(), outbox.Delivery{Message: outbox.Message{ID: "order-7", Topic: "order.created", Key: "ada@example.com"}})
	fmt.Println("delivered:", err == nil)
	// Output: delivered: true
}

// A client that would lose the order is refused, with what to write.
func ExampleNew_faults() {
	client, err := kgo.NewClient(kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	_, err = kafkasink.New(kafkasink.Config{Client: client})
	fmt.Println(err)
	// Output: kafkasink: KAFKA007 Config.Client: its partitioner does not keep a key in one partition, so the key would lose its order; kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), the client's default
}
