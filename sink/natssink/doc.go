// Package natssink publishes the messages of an outbox to a stream of NATS
// JetStream.
//
// A [Sink] is the handler of one [outbox.Destination]. A message becomes one
// message of the stream: its subject is the message's topic unless Config.Subject
// says otherwise, its Nats-Msg-Id is the message's ID, its headers travel as they
// are, trace context among them. A delivery is done when the stream has
// acknowledged it.
//
// What a failure means to the queue:
//
//	no connection, no acknowledgement in time, stream full or without a leader   Unavailable
//	credentials refused, subject not permitted                                    Auth
//	no such stream, subject not of the stream                                     Permanent
//	larger than the server or the stream takes, not a subject, not a header       Invalid
//
// # Repetition
//
// When an acknowledgement is lost the message is published again. The stream
// drops the second copy by its Nats-Msg-Id, as long as it comes within the
// stream's duplicate window (2 minutes unless the stream says otherwise). So the
// window must be longer than the outage after which a repetition shall still be
// dropped: set it when you create the stream, say so in Config.Window, and call
// [Sink.Check] before the queue runs. It also means that an ID stands for one
// message in the whole stream: two different messages with one ID are stored
// once, also if they come from two destinations.
//
// # Guarantees
//
// A message that was delivered is in the stream. Messages of one key are stored in
// the order of the queue. A repetition within the duplicate window is stored once.
// A header arrives unchanged or its message is refused. Downtime of the server
// burns no attempt. No error holds a payload, a header's value or a password.
//
// Not promised: what the server does with what it acknowledged. By default it
// writes to the disk every two minutes (sync_interval), so a machine that loses
// its power can lose acknowledged messages of a stream that has one replica.
package natssink
