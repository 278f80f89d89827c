// Package dovetailtest is what a connector is tested with: systems in memory, a
// transport without sockets, faults to put before either, and the suites that say
// whether a store or an endpoint keeps its contract.
//
// [Transport] calls an http.Handler in memory, so that a test inside
// testing/synctest runs hours of outage in milliseconds; [Faulty] puts faults
// before it. [NewSystem] is a complete business system. A Crasher stops a program
// at each of its side effects. The RunX functions are the contracts.
//
// # Guarantees
//
//   - Nothing here opens a socket or a file.
//   - Transport keeps the contract of http.RoundTripper: it closes the request's
//     body, returns either an answer or an error, and leaves no goroutine once
//     the handler has returned.
//   - It imports testing, and no assertion library.
package dovetailtest
