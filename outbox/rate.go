package outbox

import (
	"math/bits"
	"time"

	"golang.org/x/time/rate"
)

// A pacer keeps a line inside its rate. The relays of a destination share the rate
// by shards, which have one owner each: so together they stay inside it without a
// word between them. The zero pacer has no limit.
type pacer struct {
	limiter *rate.Limiter // nil: no limit
	rate    float64
	burst   int
	whole   bool // not shared: one shard has all messages
}

func newPacer(d Destination) pacer {
	if d.Rate == 0 {
		return pacer{}
	}
	p := pacer{limiter: rate.NewLimiter(rate.Limit(d.Rate), d.Burst), rate: d.Rate, burst: d.Burst, whole: d.Order == Serial}
	p.limiter.AllowN(time.Now(), d.Burst) // begin empty: a relay before this one may have used it
	return p
}

// share takes the part of the rate that a relay with these shards has.
func (p *pacer) share(shards uint64, now time.Time) {
	if p.limiter == nil || p.whole {
		return
	}
	n := bits.OnesCount64(shards)
	limit := rate.Limit(p.rate * float64(n) / Shards)
	burst := max(min(1, n), p.burst*n/Shards)
	if limit != p.limiter.Limit() || burst != p.limiter.Burst() {
		p.limiter.SetLimitAt(now, limit)
		p.limiter.SetBurstAt(now, burst)
	}
}

// allows returns how many messages may go out now, at most n.
func (p *pacer) allows(now time.Time, n int) int {
	if p.limiter == nil {
		return n
	}
	return max(0, min(n, int(p.limiter.TokensAt(now))))
}

// spend counts messages that go out now.
func (p *pacer) spend(now time.Time, n int) {
	if p.limiter != nil {
		p.limiter.AllowN(now, n) // as many as allows said
	}
}

// next returns when a message may go out: now, unless the rate is used up.
func (p *pacer) next(now time.Time) time.Time {
	if p.limiter == nil {
		return now
	}
	missing := 1 - p.limiter.TokensAt(now)
	if missing <= 0 {
		return now
	}
	limit := float64(p.limiter.Limit())
	if limit <= 0 {
		return now.Add(time.Minute) // without shards there is nothing to send
	}
	// A little later: what is due to the nanosecond may be missing by rounding.
	return now.Add(time.Duration(min(missing/limit, 60)*float64(time.Second)) + time.Microsecond)
}
