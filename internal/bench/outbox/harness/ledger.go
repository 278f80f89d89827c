package harness

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A Ledger is what all deliveries are counted in. It costs every system the same
// few dozen nanoseconds. It is safe for concurrent use.
type Ledger struct {
	seen       []uint64 // a bit for each event
	last       []atomic.Int64
	delivered  atomic.Int64
	twice      atomic.Int64
	misordered atomic.Int64
	foreign    atomic.Int64
	want       atomic.Int64
	arrived    []int64 // nanoseconds since begun, if asked for
	begun      time.Time

	once sync.Once
	done chan struct{}
	end  time.Time // of the last delivery; read after done
}

// newLedger returns a ledger for at most capacity events. With arrivals it notes
// when each one came.
func newLedger(capacity int64, arrivals bool) *Ledger {
	l := &Ledger{
		seen: make([]uint64, (capacity+63)/64), last: make([]atomic.Int64, Keys),
		begun: time.Now(), done: make(chan struct{}),
	}
	for i := range l.last {
		l.last[i].Store(-1)
	}
	if arrivals {
		l.arrived = make([]int64, capacity)
	}
	return l
}

// Deliver notes one delivery.
func (l *Ledger) Deliver(body []byte) {
	n := number(body)
	if n < 0 || n >= int64(len(l.seen))*64 {
		l.foreign.Add(1)
		return
	}
	bit := uint64(1) << (n % 64)
	if atomic.OrUint64(&l.seen[n/64], bit)&bit != 0 {
		l.twice.Add(1)
		return
	}
	if l.arrived != nil {
		atomic.StoreInt64(&l.arrived[n], int64(time.Since(l.begun)))
	}
	if l.last[n%Keys].Swap(n) > n {
		l.misordered.Add(1)
	}
	if l.delivered.Add(1) == l.want.Load() {
		l.finish()
	}
}

// expect says how many events there are; done closes when all have come.
func (l *Ledger) expect(n int64) {
	l.want.Store(n)
	if l.delivered.Load() == n {
		l.finish()
	}
}

func (l *Ledger) finish() {
	l.once.Do(func() {
		l.end = time.Now()
		close(l.done)
	})
}

// wait returns whether all expected events came within d.
func (l *Ledger) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-l.done:
		return true
	case <-timer.C:
	}
	select { // both may have been ready
	case <-l.done:
		return true
	default:
		return false
	}
}

// check returns an error for what no queue may do, and notes of what else is worth
// knowing. Call it after all expected events came and the consumer has ended.
func (l *Ledger) check(c Contender, keyed bool) (notes []string, err error) {
	want := l.want.Load()
	if n := l.delivered.Load(); n != want {
		return nil, fmt.Errorf("delivered %d of %d events", n, want)
	}
	for n := range want {
		if l.seen[n/64]&(1<<(n%64)) == 0 {
			return nil, fmt.Errorf("event %d of %d was lost", n, want)
		}
	}
	if n := l.foreign.Load(); n > 0 {
		return nil, fmt.Errorf("%d deliveries of what nobody stored", n)
	}
	if n := l.twice.Load(); n > 0 {
		notes = append(notes, "delivered some events twice")
	}
	if keyed {
		out, err := l.order(c)
		return append(notes, out...), err
	}
	return notes, nil
}

// order is the part of check that holds at any time.
func (l *Ledger) order(c Contender) (notes []string, err error) {
	n := l.misordered.Load()
	switch {
	case n == 0:
		return nil, nil
	case c.Ordered:
		return nil, fmt.Errorf("%d of %d events out of the order of their key", n, l.delivered.Load())
	}
	return []string{"does not keep the order of a key: events came out of order"}, nil
}
