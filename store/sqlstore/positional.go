package sqlstore

import (
	"strings"
	"sync"
)

// Drivers for MySQL take arguments by their place alone. A statement that names one
// twice is written with ?1, ?2 and so on, and its arguments are laid out for it.
type placed struct {
	text  string
	order []int
}

// places keeps what positional has worked out, by the text of the statement: there
// are as many as this package has statements.
var places sync.Map

// positional returns query with plain question marks, and args in their order. A
// query that numbers nothing is left as it is.
func positional(query string, args []any) (string, []any) {
	if !strings.Contains(query, "?1") {
		return query, args
	}
	known, ok := places.Load(query)
	if !ok {
		known, _ = places.LoadOrStore(query, place(query))
	}
	p, _ := known.(placed) // nothing else is stored
	out := make([]any, len(p.order))
	for i, n := range p.order {
		out[i] = args[n-1]
	}
	return p.text, out
}

// place replaces each ?n by ?, and lists the numbers.
func place(query string) placed {
	var b strings.Builder
	var order []int
	for i := 0; i < len(query); i++ {
		b.WriteByte(query[i])
		if query[i] != '?' {
			continue
		}
		n := 0
		for i+1 < len(query) && query[i+1] >= '0' && query[i+1] <= '9' {
			i++
			n = 10*n + int(query[i]-'0')
		}
		order = append(order, n)
	}
	return placed{b.String(), order}
}
