package retry

import (
	"sync"
	"time"
)

// budget bounds retries: each call pays in a share of one, time adds some, a
// retry costs one and gets it back if it succeeds.
type budget struct {
	cfg Budget

	mu   sync.Mutex
	left float64
	last time.Time
}

// most is how many retries can be saved up.
const most = 20

func newBudget(cfg Budget) *budget { return &budget{cfg: cfg, left: most, last: time.Now()} }

func (b *budget) add(n float64) {
	if b.cfg.Ratio < 0 {
		return
	}
	b.mu.Lock()
	b.left = min(most, b.left+n)
	b.mu.Unlock()
}

func (b *budget) spend() bool {
	if b.cfg.Ratio < 0 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.left = min(most, b.left+now.Sub(b.last).Seconds()*b.cfg.PerSecond)
	b.last = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
