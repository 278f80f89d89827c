// Package outbox is a durable queue in the caller's own database.
//
// A message is enqueued in the transaction that changes the business data, so
// both happen or neither. A relay ([Queue.Run]) delivers it to the handler of its
// destination, and deletes it when the handler says that it is done. Run the
// relay in one process, in several, or in another than the one that enqueues:
// they share the work by leases in the database.
//
// What the handler's error means is asked of the error (see
// [github.com/tectari/dovetail.Classify]):
//
//	nil                          delivered: the message is gone
//	Unavailable, Auth            the destination pauses; one probe at a time; no attempt is burnt
//	RateLimited                  the destination waits as it was told; no attempt is burnt
//	Transient, Conflict, none    this message waits, longer each time, up to Destination.Attempts
//	Invalid, NotFound, Permanent dead letter at once
//	InDoubt                      parked in doubt: never repeated by itself
//	a panic                      as Transient; the stack is kept with the message
//	Defer                        this message waits; it is no failure
//
// # Guarantees
//
// What was enqueued in a committed transaction is delivered at least once, or
// dropped as superseded where the destination says [LatestWins], or stands in the
// dead letters with its reason; what was rolled back is never delivered. A second
// delivery happens only after a crash or a lost lease: the message's ID is the
// receiver's idempotency key. Messages of one key are delivered in the order of
// their transactions' enqueueing, one at a time, through retries and fail-overs,
// unless the destination is Unordered. A destination that is down costs the
// others nothing. Memory is bounded whatever the backlog. A message that waits
// longer than StuckAfter, a destination that is down, a dead letter and a message
// in doubt each reach a person through Config.Alerts.
//
// Not promised: exactly-once effects (that needs the receiver or package
// idempotency), order between keys, and order of scheduled messages among
// others of their key. A handler that ignores its context may overlap with its
// successor after a lost lease.
package outbox
