package outbox

import (
	"time"

	"github.com/tectari/dovetail"
)

// A window is how many calls a line makes at once where it adapts: one at first,
// one more with each good answer until the first trouble, from then on one more
// with each round of good answers; half of it when the system is in trouble, and
// an eighth less when its answers take long. The zero window is not used.
type window struct {
	size  float64
	steep float64   // below it, it grows with each answer
	cut   time.Time // when it last became smaller
	// best is the quickest answer of this span of time, last that of the one before:
	// what the system takes when it is at ease. Two spans, so that it forgets, but
	// not while a system that is overloaded takes long all the time.
	best, last time.Duration
	span       time.Time // its end
}

// The thresholds of a window.
const (
	windowSpan  = 2 * time.Minute
	windowQuick = time.Millisecond // quicker is noise
	windowSlow  = 3                // times best: fewer
)

func newWindow(d Destination) window {
	if !d.AdaptConcurrency {
		return window{}
	}
	return window{size: 1, steep: float64(d.Concurrency)}
}

// limit returns how many calls there may be at once, at most n.
func (w *window) limit(n int) int {
	if w.size == 0 {
		return n
	}
	return min(n, int(w.size))
}

// adapt learns from a call that has ended. full: as many were under way as there
// might be, so an answer says something of more.
func (w *window) adapt(c *call, full bool, most int, began, now time.Time) {
	if w.size == 0 {
		return
	}
	trouble, good := false, false
	for i := range c.results {
		switch res := &c.results[i]; {
		case res.err == nil:
			good = true
		case res.class == dovetail.RateLimited || res.class == dovetail.Transient:
			trouble = true
		}
	}
	times := 0 // of the quickest answer; batches differ in size, so theirs say little
	if good && c.line.Batch == nil {
		times = w.compare(now.Sub(began), now)
	}
	switch {
	case !began.After(w.cut): // it speaks of the size before
	case trouble:
		w.shrink(w.size/2, now)
	case times >= windowSlow:
		w.shrink(w.size*7/8, now)
	case !good || !full:
	case w.size < w.steep:
		w.size = min(w.size+1, float64(most))
	default:
		w.size = min(w.size+1/w.size, float64(most))
	}
}

func (w *window) shrink(size float64, now time.Time) {
	w.size = max(1, size)
	w.steep, w.cut = w.size, now
}

// compare returns how many times the quickest answer this one took.
func (w *window) compare(took time.Duration, now time.Time) int {
	took = max(took, windowQuick)
	if now.After(w.span) {
		w.span, w.last, w.best = now.Add(windowSpan), w.best, 0
	}
	if w.best == 0 || took < w.best {
		w.best = took
	}
	quickest := w.best
	if w.last > 0 {
		quickest = min(quickest, w.last)
	}
	return int(took / quickest)
}
