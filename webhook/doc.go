// Package webhook receives webhooks: it verifies the signature, stores the
// delivery durably, and only then answers. The work is done afterwards by the
// handler of an outbox destination, so that a slow or failing handler costs no
// delivery.
//
// The message that is enqueued has the raw body as Payload, the source as Topic,
// and the sender's headers that carry no secret as Headers.
//
// # Guarantees
//
// A 2xx answer means that the delivery is stored. The same delivery sent again
// makes no second message as long as the queue remembers it (outbox
// Config.DedupFor, 30 days by default). Nothing unverified is stored or looked
// at: no body is decoded before the answer. Every delivery that is refused for its
// signature, its age or its secret gets the same 401. Our own trouble is answered
// with 503 and Retry-After, never with a 4xx, which some senders take as final.
// Signatures are compared in constant time, with every secret; the timestamp is
// checked both ways. Neither bodies nor secrets stand in errors or events. A
// secret that is empty or shorter than 16 bytes is refused by name.
//
// Not promised: the order of deliveries (senders do not keep one), and that two
// deliveries about one change are one: that is the work of package idempotency.
package webhook
