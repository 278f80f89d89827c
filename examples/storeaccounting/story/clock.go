// Package story is what happens in the example apart from any sync: the clock,
// the orders as they are placed, and the people who edit.
package story

import (
	"sync/atomic"
	"time"
)

// DefaultSpeed is how many story seconds pass in a wall second unless told
// otherwise: the whole story takes about 35 s, its outage 10 s.
const DefaultSpeed = 120

// Epoch is the moment at which the story begins.
var Epoch = time.Date(2018, time.January, 2, 9, 0, 0, 0, time.UTC)

// Clock tells story time. It stands still until Start. The zero value is not
// usable. It may be used by many goroutines.
type Clock struct {
	speed float64
	begun atomic.Pointer[beginning]
}

// beginning ties story time to the wall clock.
type beginning struct {
	wall  time.Time // zero while the clock stands still
	story time.Duration
}

// NewClock returns a clock that shows at, and will run speed times as fast as
// the wall clock.
func NewClock(at time.Duration, speed float64) *Clock {
	c := &Clock{speed: speed}
	c.begun.Store(&beginning{story: at})
	return c
}

// Start makes the clock run. A running clock just goes on.
func (c *Clock) Start() {
	if b := c.begun.Load(); b.wall.IsZero() {
		c.begun.CompareAndSwap(b, &beginning{wall: time.Now(), story: b.story})
	}
}

// Set moves a clock that stands still.
func (c *Clock) Set(at time.Duration) { c.begun.Store(&beginning{story: at}) }

// Now returns the story time that has passed since the Epoch.
func (c *Clock) Now() time.Duration {
	b := c.begun.Load()
	if b.wall.IsZero() {
		return b.story
	}
	return b.story + time.Duration(float64(time.Since(b.wall))*c.speed)
}

// Millis returns Now in whole milliseconds, as the servers store it.
func (c *Clock) Millis() int64 { return c.Now().Milliseconds() }

// Wall returns how long d of story time takes.
func (c *Clock) Wall(d time.Duration) time.Duration {
	return time.Duration(float64(d) / c.speed)
}

// Format writes milliseconds of story time as RFC 3339.
func Format(millis int64) string {
	return Epoch.Add(time.Duration(millis) * time.Millisecond).Format("2006-01-02T15:04:05.000Z07:00")
}
