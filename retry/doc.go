// Package retry is the HTTP client for one API: it stays inside the limits that
// the API publishes, repeats what may be repeated, and never silently repeats a
// write.
//
// [NewClient] returns a plain *http.Client and [NewTransport] an
// http.RoundTripper, so any SDK fits. Both hand back the API's own answer,
// whatever its status, with its body intact; only where there is no answer is
// there an error. [Do] and [JSON] turn statuses into an [Error] with a class;
// [ErrorOf] does it for a response that you got by yourself.
//
// One Transport is one API: it has one set of quotas, one breaker and one retry
// budget for all hosts it is used with. Make one per API and account and share
// it between all callers.
//
// # Guarantees
//
//   - A write is sent again only if it is idempotent by its method (PUT, DELETE),
//     carries the key that Config.IdempotencyHeader names, carries If-Match, was
//     marked with [SafeToRepeat], or is proven not to have been processed.
//     Otherwise the caller gets the API's answer or an error of class InDoubt.
//     net/http may not repeat it either.
//   - [Unsent] and the method NotApplied of an Error are true only if no attempt
//     of the call can have had an effect.
//   - A window quota is never exceeded, wherever the API's window begins and
//     whether or not it counts the calls it rejects. This holds for one Transport;
//     a quota that several processes share is not kept by this package.
//   - A call waits for at most Config.MaxInlineWait in all, and not at all if the
//     wait does not fit the deadline of its context. A longer wait is handed back
//     with the time to come again.
//   - While the API is down one request at a time probes it; after it recovers the
//     load doubles with each success. A probe that is slow holds up the rest.
//   - Retry-After in every form pauses every caller; it is never taken for less
//     than it says, and never for more than 24 hours.
//   - A body is sent again from GetBody or io.ReaderAt without being held in
//     memory. Any other body is kept up to 256 KiB; a longer one is sent once.
//   - A redirect to another origin is not followed: no header and no body goes
//     there.
//   - Errors and events carry no user info, no query, no header value and no
//     body. What *http.Client puts around an error is net/http's own and has the
//     whole URL; Do, JSON and [Redact] remove it.
//
// What is not promised: a body that breaks off while it is read is not fetched
// again, since the caller already has the response.
package retry
