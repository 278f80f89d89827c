package retry

import "time"

// window keeps one Window by the slot rule: a slot that was used is free again at
// "answer received + Per". The API counted the old request no later than that
// instant and counts the new one no earlier than it is sent, so no span of Per
// ever holds more than Limit, without knowing where the API's windows begin.
//
// Slots on their way back are counted per tick (Per/1024), rounded against us, so
// that the memory does not grow with Limit. Times are since the gate was made.
type window struct {
	limit int
	per   time.Duration
	step  time.Duration
	ring  []int32 // how many slots come back at a tick
	tick  int64   // ticks up to this one are back
	back  int     // sum of ring
	out   int     // in use: sent and not answered
}

const ticks = 1024

func newWindow(w Window) *window {
	return &window{limit: w.Limit, per: w.Per, step: max(w.Per/ticks, 1), ring: make([]int32, ticks+ticks/8+4)}
}

// advance brings back the slots whose time has come.
func (w *window) advance(now time.Duration) {
	to := int64(now / w.step)
	if w.back == 0 {
		w.tick = to
		return
	}
	for w.tick < to && w.back > 0 {
		w.tick++
		i := int(w.tick % int64(len(w.ring)))
		w.back -= int(w.ring[i])
		w.ring[i] = 0
	}
	w.tick = to
}

// when returns the earliest time at which a call may go that has ahead others
// before it. Advance first.
func (w *window) when(now time.Duration, ahead int) time.Duration {
	need := ahead + 1 - (w.limit - w.out - w.back)
	if need <= 0 {
		return now
	}
	for i, t := 0, w.tick+1; i < len(w.ring); i, t = i+1, t+1 {
		if need -= int(w.ring[t%int64(len(w.ring))]); need <= 0 {
			return time.Duration(t) * w.step
		}
	}
	// The rest is in use; it comes back one window from now at the earliest.
	return now + w.per*time.Duration(1+(need-1)/w.limit)
}

func (w *window) take() { w.out++ }

// settle ends the use of a slot. One that the API cannot have counted is free at
// once. Advance first.
func (w *window) settle(now time.Duration, counted bool) {
	w.out--
	if !counted {
		return
	}
	t := int64((now + w.per + w.step - 1) / w.step)
	w.ring[t%int64(len(w.ring))]++
	w.back++
}
