package acctsim

import (
	"sync"
	"time"
)

// quota admits a number of calls in any window of time, and a number at once.
// A rejected call counts like any other.
type quota struct {
	mu      sync.Mutex
	window  int64   // story milliseconds
	arrived []int64 // when the latest calls arrived: a ring, oldest at next
	next    int
	atOnce  int
	running int
}

func newQuota(calls int, window time.Duration, atOnce int) *quota {
	q := &quota{window: window.Milliseconds(), arrived: make([]int64, calls), atOnce: atOnce}
	for i := range q.arrived {
		q.arrived[i] = -q.window - 1
	}
	return q
}

// enter counts a call that arrives at now. If it is admitted, leave must
// follow. If not, wait says in story milliseconds how long until it could be.
func (q *quota) enter(now int64) (ok bool, wait int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	oldest := q.arrived[q.next]
	q.arrived[q.next] = now
	q.next = (q.next + 1) % len(q.arrived)
	switch {
	case now-oldest < q.window:
		return false, q.window - (now - oldest)
	case q.running >= q.atOnce:
		return false, 1000
	}
	q.running++
	return true, 0
}

func (q *quota) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running--
}
