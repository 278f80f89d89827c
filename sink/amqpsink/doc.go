// Package amqpsink publishes the messages of an outbox to an exchange of
// RabbitMQ, or of another broker that speaks AMQP 0-9-1 with publisher confirms.
//
// A [Sink] is the handler of one [outbox.Destination]. A message is published as
// persistent and mandatory: its routing key is the message's topic unless
// Config.RoutingKey says otherwise, its message-id is the message's ID, its type
// the topic, its headers travel as they are, trace context among them. A delivery
// is done when the broker has confirmed it. The sink connects with the first
// message and again whenever the connection is lost.
//
// What a failure means to the queue:
//
//	no connection, no confirmation in time, broker low on memory or disk, refused by a queue   Unavailable
//	credentials, virtual host or exchange not permitted                                         Auth
//	no such exchange, no queue bound for the routing key                                        Permanent
//	larger than the broker takes, more headers than fit a frame, an ID above 255 bytes          Invalid
//
// # Guarantees
//
// A message that was delivered is confirmed by every queue it was routed to, and
// there is at least one. Messages of one key are published in the order of the
// queue. A message whose confirmation is late is not published again while its
// connection lives: the next attempt waits for the same confirmation. Downtime of
// the broker burns no attempt. No error holds a payload, a header's value or a
// password.
//
// Not promised: no duplicates. A message whose connection ended before its
// confirmation is published again, and may then be in the queue twice: a consumer
// recognises it by its message-id (package idempotency). Persistent messages
// survive a restart of the broker in durable queues only.
package amqpsink
