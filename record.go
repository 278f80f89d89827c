package dovetail

import "strings"

// A System is a party to an integration, by the name the developer gave it:
// "store", "accounting". The zero value names no system and is refused wherever
// a system is required.
type System string

// A Ref says which record of which system: the system and the ID that system
// gave the record. The zero value refers to nothing. A Ref is comparable and can
// be used as a map key.
type Ref struct {
	System System
	ID     string
}

// String returns "system:id".
func (r Ref) String() string {
	var b strings.Builder
	b.Grow(len(r.System) + 1 + len(r.ID))
	b.WriteString(string(r.System))
	b.WriteByte(':')
	b.WriteString(r.ID)
	return b.String()
}

// IsZero reports whether r refers to nothing.
func (r Ref) IsZero() bool { return r == Ref{} }
