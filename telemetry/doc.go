// Package telemetry turns what Dovetail reports into OpenTelemetry spans and
// metrics. It is the only package that imports OpenTelemetry, and needs no SDK:
// the program sets up its own and passes the providers in.
//
// An operation is a span. Where a message waits in a queue between two
// operations, the span that delivers it is linked to the span that enqueued it,
// across processes and days: the trace context travels in the message's headers
// as W3C traceparent and tracestate.
//
// # Guarantees
//
//   - Every operation that was started and recorded is one span, ended once, with
//     the class of its failure as error.type.
//   - A delivery is linked to its enqueue.
//   - The number of time series is bounded, whatever the events say: a label
//     takes at most 200 values, further ones are counted as "other".
//   - Keys, references and the texts of errors are left out of spans unless the
//     Config asks for them. No label of a metric holds any of them.
//   - Nothing blocks and nothing panics on odd events or headers.
//
// Not promised: sampling and export; they are the SDK's.
package telemetry
