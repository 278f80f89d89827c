// Package ownership says which system owns which field of a record.
//
// Every field of a record type has exactly one rule: owned by one system and
// read-only everywhere else, or shared by several with a resolver for
// conflicts. That a record exists is owned like a field. A field without a rule
// is a fault that is found before anything runs.
//
// # Guarantees
//
// Rules are checked as a whole: [Check] returns every fault at once, with its
// code, the setting, what is wrong and what to write. It gives a [Table] only
// when no open decision is left. A Table answers for each field and system what
// that system may do, without allocating, and its values may be read
// concurrently. [Table.Hash] is the same for the same rules in any order, and
// another when any rule changes. The package does no I/O. It does not enforce
// anything by itself: package sync does, in its writer.
//
// # Codes
//
// Codes are stable. Where [Check] stops a start:
//
//	OWN001  a field has no rule
//	OWN002  a system must give a field that its endpoint does not hold
//	OWN003  a shared field has no resolver
//	OWN004  the fields of a group have different rules
//	OWN010  a rule for a field that the record does not have
//	OWN011  the zero rule, or a rule that names an empty system
//	OWN012  a rule names a system that is not configured
//	OWN013  shared by fewer than two systems
//	OWN014  a resolver for a field that is not shared
//	OWN015  a rule names a system twice, or as owner and reader
//	OWN016  a rule method that means nothing there
//	OWN017  a system takes no part
//	OWN018  a system must be written and cannot be
//	OWN019  an endpoint holds a field that the record does not have
//	OWN020  fewer than two systems
//	OWN021  a system is named twice, or has no name
//	OWN022  the record or a field has no name, or a field is listed twice
//	DEL001  nobody owns the existence of the record
//
// And as warnings:
//
//	OWN030  a field does not reach a system that cannot be written
//	OWN031  a field reaches a system only when its record is created
//	OWN032  a field reaches no other system
//	OWN033  a group of one field
//	OWN034  a system holds only some fields of a group
//	DEL002  records are not created in a system
//	DEL003  records are not deleted in a system
package ownership
