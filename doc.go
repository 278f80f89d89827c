// Package dovetail joins business systems so that the joint holds: an online
// store and accounting, a CRM and billing. It holds the words that all packages
// of the module share; the work is done by the packages below it.
//
//   - [github.com/tectari/dovetail/sync] keeps the records of two or more
//     systems in agreement. Import it as datasync.
//   - [github.com/tectari/dovetail/ownership] says which system owns a field.
//   - [github.com/tectari/dovetail/conflict] decides when both sides moved.
//   - [github.com/tectari/dovetail/idempotency] makes a write happen once in
//     somebody else's system.
//   - [github.com/tectari/dovetail/outbox] is the durable queue in your own
//     database.
//   - [github.com/tectari/dovetail/webhook] receives, verifies and keeps
//     webhooks before it answers.
//   - [github.com/tectari/dovetail/retry] is an *http.Client that knows the
//     limits of one API.
//   - [github.com/tectari/dovetail/alert] tells a person, once per cause.
//
// # Guarantees
//
// This package does no I/O, starts no goroutine and imports the standard
// library only. What the module as a whole promises stands in
// docs/guarantees.md, each line with the test that holds it.
package dovetail
