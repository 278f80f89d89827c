// Package watermillsink publishes the messages of an outbox through any
// message.Publisher of Watermill: Google Pub/Sub, SNS and SQS, Redis streams and
// whatever else there is a publisher for.
//
// A [Sink] is the handler of one [outbox.Destination]. A message becomes one
// message of Watermill: its UUID is the message's ID, its metadata are the headers,
// trace context among them, its topic is the message's topic unless Config.Topic
// says otherwise. A delivery is done when Publish returns nil.
//
// What an error of the publisher means is asked of the error, as
// [github.com/tectari/dovetail.Classify] does. If it does not know, an error of
// the network and a time that is over are Unavailable, and all else is Transient:
// tried again, and a dead letter in the end. A publisher with errors of its own is
// better served by Config.Class.
//
// # Guarantees
//
// A message that was delivered was taken by the publisher without an error.
// Messages of one key are published one after the other, in the order of the
// queue. A publisher that hangs costs a timeout, and no second call for the
// message while the first one hangs. No error holds a payload or a header; what the
// publisher says stands in it as it is.
//
// Not promised: what the publisher does. Use one that returns when the broker has
// the message, not before, and give it limits of time. A message may be published
// twice; a consumer recognises it by its UUID (package idempotency).
package watermillsink
