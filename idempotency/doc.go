// Package idempotency makes a write happen once in somebody else's system,
// however often it is asked for and wherever the process dies.
//
// An [Upserter] creates and updates the records of one kind in one system, each
// under a stable [Key]. Before it calls, it writes into a ledger that it is about
// to; afterwards, what came of it. A call whose reply was lost leaves the write
// in doubt, and what is then done follows from what the system's API can do (see
// [Target]):
//
//	A  upsert by our ID     send it again
//	B  an idempotency key   send the same bytes again while the key is remembered
//	C  a search             wait until a search must see it; adopt what is found, else create
//	D  nothing              wait for a person, who answers with [Resolve]
//
// [Do] is the same for a single side effect that is not a record. [Middleware] is
// the other side: it makes a handler of ours do once what a client asks twice.
//
// # Guarantees
//
// One key makes at most one record, for classes A to C as long as what the Target
// says of its API is true (the key window, the search lag, how long a request
// travels), for class D always. No write is lost: it ends as a result, as an
// error, or as a doubt that a later call or a person settles. Nothing is given up
// as "did not happen" without proof. A worker that lost its lease can neither
// complete nor release, and a late answer is kept when nobody took over. An older
// version of a record never replaces a newer one. An empty key is an error. If
// the ledger cannot be written, nothing is sent.
//
// Not promised: exactly one call (a system may be called again with the same
// key); anything against writers that do not go through the same ledger; that a
// paused process does not send after its lease (it checks just before, which
// leaves the time between the check and the first byte).
package idempotency
