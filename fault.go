package dovetail

import (
	"strconv"
	"strings"
)

// A Fault is one thing that is wrong with a configuration, found before anything
// runs. Every constructor of the module returns all of them at once.
type Fault struct {
	// Code is short and stable: "OWN001". It may be empty.
	Code string
	// Where is the setting at fault: `Config.Fields["phone"]`.
	Where string
	// Text says what is wrong: "no rule says who owns it".
	Text string
	// Fix says what to write: `add "phone": ownership.By("crm")`.
	Fix string
	// Warning marks a fault that does not stop a start.
	Warning bool
}

// String returns the fault on one line.
func (f Fault) String() string {
	var b strings.Builder
	if f.Code != "" {
		b.WriteString(f.Code)
		b.WriteByte(' ')
	}
	if f.Where != "" {
		b.WriteString(f.Where)
		b.WriteString(": ")
	}
	b.WriteString(f.Text)
	if f.Fix != "" {
		b.WriteString("; ")
		b.WriteString(f.Fix)
	}
	return b.String()
}

// Faults is the error a constructor returns: everything that is wrong, in the
// order it was found. Package is who found it: "sync".
type Faults struct {
	Package string
	List    []Fault
}

// Add appends a fault.
func (fs *Faults) Add(code, where, text, fix string) {
	fs.List = append(fs.List, Fault{Code: code, Where: where, Text: text, Fix: fix})
}

// Err returns nil when no fault in the list stops a start, and fs otherwise.
func (fs *Faults) Err() error {
	for _, f := range fs.List {
		if !f.Warning {
			return fs
		}
	}
	return nil
}

// Error lists every fault that stops a start, one per line when there are
// several.
func (fs *Faults) Error() string {
	var lines []string
	for _, f := range fs.List {
		if !f.Warning {
			lines = append(lines, f.String())
		}
	}
	if len(lines) == 1 {
		return fs.Package + ": " + lines[0]
	}
	return fs.Package + ": " + strconv.Itoa(len(lines)) + " faults:\n\t" + strings.Join(lines, "\n\t")
}
