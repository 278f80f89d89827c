// Package kafkasink produces the messages of an outbox to topics of Kafka, or of
// another broker that speaks its protocol.
//
// A [Sink] is the handler of one [outbox.Destination]. A message becomes one
// record: its Kafka topic is the message's topic unless Config.Topic says
// otherwise, its key is the message's key, so that all messages of a key are in
// one partition, its headers travel as they are, trace context among them, and
// one more holds the message's ID. A delivery is done when all in-sync replicas
// have the record.
//
// What a failure means to the queue:
//
//	no broker, no leader, too few replicas, no acknowledgement in time   Unavailable
//	credentials refused, topic not permitted                              Auth
//	quota exceeded                                                        RateLimited
//	no such topic, refused by a policy                                    Permanent
//	larger than client, topic or broker take, not a topic's name          Invalid
//
// # Guarantees
//
// A message that was delivered is in its partition. The records of a key are in
// the order of the queue. A record whose acknowledgement is late is not produced
// again by this process: the client repeats it under its sequence number, which the
// broker knows, and the next attempt waits for it. Downtime of the brokers burns no
// attempt. No error holds a payload, a key, a header's value or a password.
//
// Not promised: no duplicates. What was under way when the process died, or lost
// its lease, is produced again by its successor, which the broker takes for
// another producer: a consumer recognises it by its ID (package idempotency). Nor
// that a key stays in its partition when the number of partitions is changed.
package kafkasink
