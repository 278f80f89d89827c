// Package sinktest holds what the tests of the sinks share: a queue in memory
// with a book of what it delivered, a server process that can be killed, and a
// network that can be made bad.
//
// # Guarantees
//
// What a test starts here has ended when the test has. Nothing here is for users.
package sinktest
