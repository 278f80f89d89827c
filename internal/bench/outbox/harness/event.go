package harness

import (
	"fmt"
	"strconv"
	"strings"
)

// Size is how many bytes the body of an event has.
const Size = 200

// Keys is how many keys the events have between them.
const Keys = 10_000

// An Event is what is stored and delivered.
type Event struct {
	// N counts from 0; the body says it, so that the receiver can tell what is
	// lost, doubled or out of order.
	N    int64
	Key  string
	Body []byte
}

// pad makes the body Size bytes long.
var pad = strings.Repeat("x", Size-len(`{"n":"000000000000","pad":""}`))

// NewEvent returns the n-th event. The body is JSON, because two peers store
// nothing else.
func NewEvent(n int64) Event {
	return Event{
		N:    n,
		Key:  "customer-" + strconv.FormatInt(n%Keys, 10),
		Body: fmt.Appendf(make([]byte, 0, Size), `{"n":"%012d","pad":"%s"}`, n, pad),
	}
}

// NewEvents returns the events from first to before end.
func NewEvents(first, end int64) []Event {
	list := make([]Event, 0, end-first)
	for n := first; n < end; n++ {
		list = append(list, NewEvent(n))
	}
	return list
}

// number returns the N of a body, or -1. It reads the first 12 digits, wherever
// they are: a jsonb column gives the text back with other spaces.
func number(body []byte) int64 {
	for i, c := range body {
		if c < '0' || c > '9' {
			continue
		}
		if len(body) < i+12 {
			return -1
		}
		var n int64
		for _, d := range body[i : i+12] {
			if d < '0' || d > '9' {
				return -1
			}
			n = n*10 + int64(d-'0')
		}
		return n
	}
	return -1
}
