// Package memstore keeps the state of every part of Dovetail in memory, for
// tests and first tries. It fulfils the same contract as package sqlstore, which
// dovetailtest checks, except that nothing survives the process.
//
// # Guarantees
//
// A transaction sees and changes the store alone, from [Store.Begin] to Commit or
// Rollback: what it did happens as a whole or not at all, and others see nothing
// of it before. Not promised: durability, and more than one process.
package memstore
