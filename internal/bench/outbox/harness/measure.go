package harness

import (
	"context"
	"time"
)

// A Row is a line of the table.
type Row struct {
	Name string
	// Unit is one of "/s", "ms", "B", "%", "×".
	Unit string
	// Less: less is better.
	Less bool
	// Against is the role that the floor's ratio is computed with.
	Against Role
	// Goal is what the design asks for.
	Goal string
}

// A Reading is what one contender showed in one round.
type Reading struct {
	Row   string
	Value float64
	// CPU is the seconds that this process and the server used for 100,000
	// events; 0 if not measured.
	CPU float64
}

// A Measure is one kind of work. It yields one or more rows.
type Measure struct {
	// Name is what -measures selects.
	Name string
	Rows []Row
	// Run does the work once, in cells of b.
	Run func(ctx context.Context, b *Bench, c Contender) ([]Reading, error)
}

// Sizes says how much of everything is measured.
type Sizes struct {
	// Drain is how many events are drained.
	Drain []int64
	// Depths are two backlogs whose cost per event is compared.
	Depths [2]int64
	// Writers is how many goroutines enqueue at once, one table row each.
	Writers []int
	// Window is how long writers write.
	Window time.Duration
	// Bulk is how many events are stored by bulk enqueue.
	Bulk int64
	// Life is how many events the bytes of log and the cost of an old transaction
	// are measured on.
	Life int64
	// Rates are how many events a second are stored where latency is measured.
	Rates []int
	// Load is for how long.
	Load time.Duration
	// Cap is how long a drain may take. What a slow system delivered by then is
	// its rate.
	Cap time.Duration
}

// Full is what the claims are measured with.
func Full() Sizes {
	return Sizes{
		Drain: []int64{100_000}, Depths: [2]int64{10_000, 1_000_000}, Writers: []int{8, 16, 32}, Window: 2 * time.Second,
		Bulk: 100_000, Life: 100_000, Rates: []int{100, 1000}, Load: 3 * time.Second, Cap: 10 * time.Second,
	}
}

// Quick is enough to see that everything works.
func Quick() Sizes {
	return Sizes{
		Drain: []int64{500}, Depths: [2]int64{200, 1000}, Writers: []int{4}, Window: 50 * time.Millisecond,
		Bulk: 1000, Life: 500, Rates: []int{100}, Load: 200 * time.Millisecond, Cap: time.Second,
	}
}

// Measures returns everything that is measured, at these sizes.
func Measures(s Sizes) []Measure {
	list := []Measure{drain(s), keyed(s), depth(s), endToEnd(s)}
	list = append(list, enqueue(s)...)
	return append(list, bulk(s), life(s), latency(s), pinned(s))
}
