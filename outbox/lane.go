package outbox

import (
	"cmp"
	"slices"
	"time"
)

// An item is an entry in the memory of a relay.
type item struct {
	Entry
	line  *line
	lane  *lane // nil: no order
	stage stage
	probe bool
	// follows: in its call it comes behind another of its lane.
	follows bool
}

// A stage is how far an item is.
type stage uint8

const (
	queued   stage = iota // waits for its lane
	ready                 // may be delivered
	running               // is being delivered
	settling              // its result is to be written
	gone                  // left memory without a result
)

// size is what an item costs in memory, about.
func (it *item) size() int { return len(it.Payload) + 256 }

// A lane is the messages of one key: delivered one at a time. It is in memory
// while any of its messages is.
type lane struct {
	name    string
	running *item   // the first of those being delivered
	flying  int     // how many are: more than one only in a batch
	queue   []*item // by Seq
	items   int     // in memory, those with a result to be written included
	// blocked: an earlier message is parked, so whatever comes is parked behind it.
	blocked bool
	// behind: the store may have Behind entries that come before what is read.
	behind bool
	// parked is the last Seq that LatestWins parked and that no newer one has
	// replaced yet; 0 for none.
	parked int64
	first  [1]*item // room for the queue of a lane that has one message
}

// A line is a destination at work in a relay. The relay's mutex guards it.
type line struct {
	Destination
	shards uint64 // owned
	giving uint64 // of these, on their way to another relay
	// unread is those of which not everything that waits has been read since they
	// were handed out.
	unread uint64
	counts [Shards]int

	lanes  map[string]*lane
	ready  []*item // from taken on
	taken  int
	loaded int
	parked int // of the loaded, those that are parked in the store
	bytes  int
	active int // calls under way

	// live: what is new comes from the common reader; else from position.
	live     bool
	position Position
	more     bool

	pause        *Pause
	limitedUntil time.Time
	pacer
	window window
	outage
}

// An outage is a destination's downtime and recovery.
type outage struct {
	down       bool
	auth       bool
	since      time.Time
	why        string
	probing    bool
	probeAt    time.Time
	ramp       int // how many at once while recovering; 0: no limit
	recovered  time.Time
	answered   time.Time // when an outage ended last; recovered until its end is told
	caughtUp   int64
	gaveUp     int64 // became dead letters while recovering
	everWorked bool
}

// lineBytes bounds the payload that a line holds in memory.
const lineBytes = 16 << 20

func (l *line) full() bool { return l.loaded >= l.Buffer || l.bytes >= lineBytes }
func (l *line) low() bool  { return l.loaded <= l.Buffer/2 && l.bytes < lineBytes/2 }

// idle says that nothing is to be read for the line now. While the destination
// is down one message is enough, to probe with.
func (l *line) idle() bool {
	return l.shards&^l.giving == 0 || l.pause != nil || (l.down && (l.probing || l.waiting()))
}

// waiting reports whether a message is ready.
func (l *line) waiting() bool {
	return slices.ContainsFunc(l.ready[l.taken:], func(it *item) bool { return it.stage == ready })
}

// due returns when the next message may be delivered, and false if none waits for
// a time: for lack of messages, or because the end of a call comes first.
func (l *line) due(now time.Time) (time.Time, bool) {
	at := l.next(now)
	if l.limitedUntil.After(at) {
		at = l.limitedUntil
	}
	if l.down && l.probeAt.After(at) {
		at = l.probeAt
	}
	return at, at.After(now) && l.pause == nil && !(l.down && l.probing) && l.waiting()
}

// readable says that the line may take more.
func (l *line) readable() bool { return !l.idle() && l.low() }

// has reports whether the line serves a shard.
func (l *line) has(shard int) bool { return (l.shards&^l.giving)>>shard&1 == 1 }

// early reports whether an entry that was parked comes too early: its shard is new
// to the relay, and waiting ones of its lane that come before it may not have been
// read yet. A relay that parked it behind those is gone, with the memory of them.
func (l *line) early(e Entry) bool {
	ordered := e.Lane != "" && e.State != Waiting && e.State != Scheduled
	return ordered && l.unread>>e.Shard&1 == 1 && e.Seq > l.position.After
}

// push makes it the next of the ready ones, or the last.
func (l *line) push(it *item, first bool) {
	it.stage = ready
	switch {
	case !first:
		l.ready = append(l.ready, it)
	case l.taken > 0:
		l.taken--
		l.ready[l.taken] = it
	default:
		l.ready = slices.Insert(l.ready, 0, it)
	}
}

// peek returns the ready item that came first; with oldest, the one with the
// lowest Seq. It returns nil when none is ready.
func (l *line) peek(oldest bool) *item {
	var best *item
	for l.taken < len(l.ready) && l.ready[l.taken].stage != ready {
		l.drop() // it was taken or replaced meanwhile
	}
	for _, it := range l.ready[l.taken:] {
		if it.stage == ready && (best == nil || it.Seq < best.Seq) {
			best = it
		}
		if !oldest {
			break
		}
	}
	return best
}

// remove takes out what peek returned.
func (l *line) remove(it *item) {
	if l.ready[l.taken] == it {
		l.drop()
		return
	}
	if i := slices.Index(l.ready, it); i >= 0 {
		l.ready = slices.Delete(l.ready, i, i+1)
	}
}

// drop takes out the first.
func (l *line) drop() {
	l.ready[l.taken] = nil
	l.taken++
	switch {
	case l.taken == len(l.ready):
		l.ready, l.taken = l.ready[:0], 0
	case l.taken > 1024 && l.taken > len(l.ready)/2:
		l.ready, l.taken = slices.Delete(l.ready, 0, l.taken), 0
	}
}

// enter puts it into its lane by Seq.
func (ln *lane) enter(it *item) {
	n := len(ln.queue)
	if n == 0 && ln.queue == nil {
		ln.queue = ln.first[:0]
	}
	if n == 0 || ln.queue[n-1].Seq < it.Seq {
		ln.queue = append(ln.queue, it)
		return
	}
	i, _ := slices.BinarySearchFunc(ln.queue, it.Seq, func(a *item, seq int64) int { return cmp.Compare(a.Seq, seq) })
	if i == 0 {
		ln.queue[0].stage = queued
	}
	ln.queue = slices.Insert(ln.queue, i, it)
}

// shift takes the first out of the queue.
func (ln *lane) shift() *item {
	it := ln.queue[0]
	ln.queue[0] = nil
	if ln.queue = ln.queue[1:]; len(ln.queue) == 0 {
		ln.queue = nil
	}
	return it
}

// advance makes the first of the lane ready when nothing of it runs.
func (ln *lane) advance(l *line, first bool) {
	if ln.running == nil && !ln.blocked && len(ln.queue) > 0 && ln.queue[0].stage != ready {
		l.push(ln.queue[0], first)
	}
}
