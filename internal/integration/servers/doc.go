// Package servers finds or starts the servers that tests need, and gives each test
// a place of its own on them.
package servers
