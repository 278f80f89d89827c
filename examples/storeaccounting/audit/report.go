package audit

import (
	"fmt"
	"io"
	"strings"
)

// Finding is one thing that is wrong, by record and field.
type Finding struct {
	Record string // such as "order CA-2016-152156"
	Field  string // "" when it is about the record as a whole
	Detail string
}

func (f Finding) String() string {
	if f.Field == "" {
		return f.Record + ": " + f.Detail
	}
	return f.Record + " " + f.Field + ": " + f.Detail
}

// Report is what an audit found. The zero value is a clean report on nothing.
type Report struct {
	Customers, Contacts, Orders, Invoices int // records looked at
	Fields                                int // values compared

	Lost        []Finding // not there, or a person's last edit gone
	Duplicated  []Finding // there twice
	Disagreeing []Finding // there, but not the same

	StoreTotal    string // sum of all orders
	InvoicedTotal string // sum of all invoices
}

// Clean says whether nothing at all was found.
func (r Report) Clean() bool {
	return len(r.Lost)+len(r.Duplicated)+len(r.Disagreeing) == 0 && r.StoreTotal == r.InvoicedTotal
}

// Print writes the report, with at most the given number of findings of each
// kind.
func (r Report) Print(w io.Writer, most int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "audit: %d customers, %d contacts, %d orders, %d invoices, %d values compared\n", r.Customers, r.Contacts, r.Orders, r.Invoices, r.Fields)
	fmt.Fprintf(&b, "       orders %s, invoices %s\n", r.StoreTotal, r.InvoicedTotal)
	for _, kind := range []struct {
		name     string
		findings []Finding
	}{{"lost", r.Lost}, {"duplicated", r.Duplicated}, {"disagreeing", r.Disagreeing}} {
		fmt.Fprintf(&b, "%12s %d\n", kind.name, len(kind.findings))
		for _, f := range kind.findings[:min(most, len(kind.findings))] {
			fmt.Fprintf(&b, "             - %s\n", f)
		}
		if more := len(kind.findings) - most; more > 0 {
			fmt.Fprintf(&b, "             - and %d more\n", more)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
