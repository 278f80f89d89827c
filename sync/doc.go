// Package sync keeps the records of two or more systems in agreement. Import it
// as datasync.
//
// A [Link] joins one record type across systems. What a system shows is observed
// in one local transaction: a pure merge turns it into canonical values,
// decisions with their reasons, and one message for each system that now lags.
// Those messages wait in the outbox; delivering one reads the state again,
// computes the patch, writes it and records what the system shows afterwards.
//
// # Guarantees
//
// Each field has one owner, or a resolver; a plan that leaves a decision open
// does not start, and New lists everything that is open. A system is never
// written a field that it owns. A record is created at most once in each system,
// by the class of that system's API. Running again with nothing to do writes
// nothing, and our own writes coming back are nothing. After an uncertain write
// the record is read before it is written again. No more records are deleted in
// a system, or lose a field there, within a day than the brakes allow, until a
// person approves. Under changed rules nothing runs before Transfer. A record
// that cannot be read, decided or delivered stops alone, with its reason, and a
// person is told, of the end too; so is a source that falls silent.
//
// What is not promised: a shared field of a system without conditional writes is
// protected from overwriting an edit only outside the time of one request
// (Link.Guarantees says for which fields); a target that can neither deduplicate
// nor be searched waits for a person after a lost reply.
package sync
