package retry

import (
	"math/rand/v2"
	"time"
)

type phase uint8

const (
	closed  phase = iota
	open          // nothing goes until b.until, then one probe
	probing       // the probe is on its way
	ramping       // recovered: b.allowed at a time, doubling with each success
)

var phaseNames = [...]string{"closed", "open", "probing", "ramping"}

type health uint8

const (
	unknown health = iota // says nothing about the API: the caller gave up
	well
	ill
)

// breaker decides how many requests may be on their way, by how the API answers.
// It is guarded by the gate's lock. Times are since the gate was made.
type breaker struct {
	cfg     Breaker
	jitter  func() float64
	phase   phase
	until   time.Duration
	trips   int
	row     int
	gen     uint32 // answers to requests of an older phase say nothing
	allowed int
	out     int
	seen    [2]struct{ all, ill int } // two halves of 30 s
	half    int64
}

const (
	halfWindow = 15 * time.Second
	fullSpeed  = 64
)

// when returns the earliest time a request may go; blocked says that it depends
// on an answer that is on its way.
func (b *breaker) when(now time.Duration) (at time.Duration, blocked bool) {
	switch b.phase {
	case open:
		return max(now, b.until), false
	case probing:
		return now, true
	case ramping:
		return now, b.out >= b.allowed
	default:
		return now, false
	}
}

func (b *breaker) take() uint32 {
	if b.phase == open {
		b.enter(probing)
	}
	b.out++
	return b.gen
}

func (b *breaker) enter(p phase) {
	b.phase, b.out = p, 0
	b.gen++
}

// settle counts how a request of generation gen ended.
func (b *breaker) settle(now time.Duration, gen uint32, h health) {
	if gen != b.gen {
		return
	}
	b.out--
	switch {
	case b.phase == probing && h == unknown:
		b.enter(open) // b.until has passed: the next caller probes
	case h == unknown:
	case h == well:
		b.good(now)
	default:
		b.bad(now)
	}
}

func (b *breaker) good(now time.Duration) {
	b.row = 0
	switch b.phase {
	case probing:
		b.enter(ramping)
		b.allowed = 2
	case ramping:
		if b.allowed *= 2; b.allowed > fullSpeed {
			out, gen := b.out, b.gen
			b.enter(closed)
			b.out, b.gen = out, gen
			b.trips = 0
			b.seen = [2]struct{ all, ill int }{}
		}
	case closed:
		b.count(now, 0)
	}
}

func (b *breaker) bad(now time.Duration) {
	b.row++
	if b.phase == closed {
		all, ill := b.count(now, 1)
		inRow := b.cfg.InARow > 0 && b.row >= b.cfg.InARow
		share := all >= b.cfg.AtLeast && float64(ill) >= b.cfg.Share*float64(all)
		if b.cfg.InARow < 0 || !inRow && !share {
			return
		}
	}
	length := b.cfg.OpenCap
	if b.trips < 30 {
		length = min(length, b.cfg.Open<<b.trips)
	}
	if length <= 0 { // the shift overflowed
		length = b.cfg.OpenCap
	}
	b.trips++
	b.enter(open)
	b.until = now + length/2 + time.Duration(b.jitter()*float64(length/2))
}

// slow starts again with one request at a time, after the API asked for a pause.
func (b *breaker) slow() {
	if b.phase == closed && b.cfg.InARow > 0 {
		b.enter(ramping)
		b.allowed = 1
	}
}

// count adds a request to the last 30 s and returns how many there were.
func (b *breaker) count(now time.Duration, bad int) (all, ill int) {
	half := int64(now / halfWindow)
	if half != b.half {
		if half != b.half+1 {
			b.seen[b.half&1] = struct{ all, ill int }{}
		}
		b.half = half
		b.seen[half&1] = struct{ all, ill int }{}
	}
	s := &b.seen[half&1]
	s.all++
	s.ill += bad
	return b.seen[0].all + b.seen[1].all, b.seen[0].ill + b.seen[1].ill
}

func newBreaker(cfg Breaker) breaker { return breaker{cfg: cfg, jitter: rand.Float64} }
