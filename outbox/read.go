package outbox

import (
	"fmt"
	"math/bits"
	"time"
)

// The size of one read of the waiting messages.
const (
	pageEntries = 1000
	pageBytes   = 8 << 20
	laneEntries = 200
)

// slabItems is how many items share an allocation: few, since one that waits long
// keeps the others' room.
const slabItems = 16

// read brings messages into memory: those that are due, those that lines have
// missed, those that are new, and those behind a lane's settled head.
func (r *relay) read() error {
	now := time.Now()
	hint := r.hint.Swap(false)
	r.mu.Lock()
	if r.lost || r.stopping {
		r.mu.Unlock()
		return nil
	}
	timely := hint || !now.Before(r.nextRead)
	catching, wants := r.plan()
	readHead := len(wants) > 0 && (timely || r.headMore)
	r.mu.Unlock()

	found := 0
	// A commit says nothing of what is parked, so where one follows the other that
	// is not asked for each time: it would come between a commit and its delivery.
	asked := r.asked.Swap(false)
	if timely && (asked || !now.Before(r.nextDue)) {
		n, err := r.readDue()
		if err != nil {
			r.hint.Store(hint)
			r.asked.Store(asked)
			return err
		}
		found += n
		r.nextDue = now.Add(r.q.config.PollMin)
	}
	// The common reader goes first: a line that joins it below is not among wants,
	// and what is committed meanwhile must not be passed without it.
	if readHead {
		n, err := r.readHead(wants)
		if err != nil {
			return err
		}
		found += n
	}
	for _, l := range catching {
		n, err := r.catchUp(l)
		if err != nil {
			return err
		}
		found += n
	}
	if err := r.drain(); err != nil {
		return err
	}
	switch {
	case found > 0 || hint:
		r.poll = r.q.config.PollMin
	case timely:
		r.poll = min(2*r.poll, r.q.config.PollMax)
	}
	if timely || found > 0 {
		r.nextRead = now.Add(r.poll)
	}
	return nil
}

// plan says which lines read by themselves and what the common reader reads.
// A line that is full or stands still leaves the common reader, and remembers
// only how far it came.
func (r *relay) plan() (catching []*line, wants []Want) {
	for _, l := range r.order {
		if l.live && (l.full() || l.idle()) {
			l.live, l.position, l.more = false, r.head, true
		}
		switch {
		case l.live:
			wants = append(wants, Want{Destination: l.Name, Shards: l.shards &^ l.giving})
		case l.readable():
			catching = append(catching, l)
		}
	}
	return catching, wants
}

// readHead reads what is new, for all lines that keep up.
func (r *relay) readHead(wants []Want) (int, error) {
	ctx, cancel := r.storeContext()
	defer cancel()
	page, err := r.q.store.ReadMessages(ctx, ReadQuery{Position: r.head, Wants: wants, Limit: pageEntries, Bytes: pageBytes})
	if err != nil {
		return 0, fmt.Errorf("read messages: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.head, r.headMore = page.Position, page.More
	return r.admit(page.Entries), nil
}

// catchUp reads for one line what it missed, and lets it join the common reader
// when there is no more.
func (r *relay) catchUp(l *line) (int, error) {
	r.mu.Lock()
	q := ReadQuery{
		Position: l.position, Wants: []Want{{Destination: l.Name, Shards: l.shards &^ l.giving}},
		Limit: max(1, min(pageEntries, l.Buffer-l.loaded)), Bytes: pageBytes,
	}
	r.mu.Unlock()
	ctx, cancel := r.storeContext()
	defer cancel()
	page, err := r.q.store.ReadMessages(ctx, q)
	if err != nil {
		return 0, fmt.Errorf("read messages of %s: %w", l.Name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	l.position, l.more = page.Position, page.More
	n := r.admit(page.Entries)
	if page.More {
		return n, nil
	}
	alone := true
	for _, other := range r.order {
		alone = alone && !other.live
	}
	if alone {
		r.head, r.headMore = page.Position, false
	}
	// Behind the common reader it reads on; at or before it, joining means
	// that a stretch is read twice, which admit sees.
	if l.live = page.Position.After >= r.head.After; l.live {
		l.unread = 0
	}
	return n, nil
}

// readDue reads parked messages whose time has come.
func (r *relay) readDue() (int, error) {
	var wants []Want
	r.mu.Lock()
	for _, l := range r.order {
		if !l.idle() && !l.full() {
			wants = append(wants, Want{Destination: l.Name, Shards: l.shards &^ l.giving, Limit: l.parked + min(pageEntries, l.Buffer)})
		}
	}
	r.mu.Unlock()
	if len(wants) == 0 {
		return 0, nil
	}
	ctx, cancel := r.storeContext()
	defer cancel()
	entries, err := r.q.store.DueMessages(ctx, wants)
	if err != nil {
		return 0, fmt.Errorf("read due messages: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.admit(entries), nil
}

// drain reads what was parked behind heads that are settled.
func (r *relay) drain() error {
	r.mu.Lock()
	var lanes []*lane
	for ln := range r.drains {
		if !ln.blocked && len(ln.queue) == 0 {
			lanes = append(lanes, ln)
		}
		if ln.blocked {
			delete(r.drains, ln)
		}
	}
	r.mu.Unlock()
	for _, ln := range lanes {
		r.mu.Lock()
		l := r.drains[ln]
		skip := l == nil || l.idle() || l.full() || l.lanes[ln.name] != ln
		r.mu.Unlock()
		if skip {
			continue
		}
		ctx, cancel := r.storeContext()
		entries, err := r.q.store.LaneMessages(ctx, l.Name, ln.name, laneEntries)
		cancel()
		if err != nil {
			return fmt.Errorf("read messages of %s behind another: %w", l.Name, err)
		}
		r.mu.Lock()
		r.drained(l, ln, entries)
		r.mu.Unlock()
	}
	return nil
}

// drained takes in the Behind entries of a lane.
func (r *relay) drained(l *line, ln *lane, entries []Entry) {
	if ln.blocked || !r.stillParked(ln) {
		return // a worker has parked more meanwhile
	}
	rest := len(entries) == laneEntries
	for _, e := range entries {
		if r.memory[e.Seq] != nil || !l.has(e.Shard) {
			continue
		}
		if l.early(e) {
			rest = true // for when what comes before it has been read
			break
		}
		if e.Stops && l.Poison == BlockKey {
			ln.blocked = true // until a person has settled what stops it
			break
		}
		it := r.remember(l, e)
		it.lane = ln
		ln.items++
		if l.Poison == LatestWins {
			r.placeLatest(l, ln, it)
		} else {
			ln.enter(it)
		}
	}
	if !rest || ln.blocked {
		ln.behind = false
		delete(r.drains, ln)
	}
	ln.advance(l, false)
	r.retire(l, ln)
}

// stillParked reports that no result of the lane waits to be written, so that
// what the store said of it is complete.
func (r *relay) stillParked(ln *lane) bool {
	return ln.items == len(ln.queue)+ln.flying
}

// remember puts an entry into memory.
func (r *relay) remember(l *line, e Entry) *item {
	if len(r.slab) == 0 {
		r.slab = make([]item, slabItems)
	}
	it := &r.slab[0]
	r.slab = r.slab[1:]
	it.Entry, it.line = e, l
	r.memory[e.Seq] = it
	l.loaded++
	l.bytes += it.size()
	l.counts[e.Shard]++
	if e.State != Waiting {
		l.parked++
	}
	return it
}

// admit takes in what was read, and returns how much of it is new.
func (r *relay) admit(entries []Entry) int {
	n := 0
	for _, e := range entries {
		l := r.lines[e.To]
		if l == nil || !l.has(e.Shard) || r.memory[e.Seq] != nil || l.early(e) {
			continue
		}
		n++
		if e.Lane == "" {
			l.push(r.remember(l, e), false)
			continue
		}
		ln := l.lanes[e.Lane]
		fresh := ln == nil
		if !fresh && l.Poison != LatestWins && e.State != Waiting && e.State != Scheduled && !r.stillParked(ln) {
			// A worker has parked one of the lane since the read, so this may not be
			// the one that the lane waits for. It is read again.
			n--
			continue
		}
		if fresh {
			ln = &lane{name: e.Lane}
			l.lanes[e.Lane] = ln
		}
		r.place(l, ln, e, fresh)
	}
	return n
}

// place puts an entry into its lane, or parks it behind the one that the lane
// waits for. What a read says of the lane counts only when the lane was not in
// memory: memory is newer.
func (r *relay) place(l *line, ln *lane, e Entry, fresh bool) {
	it := r.remember(l, e)
	it.lane = ln
	ln.items++
	if l.Poison == LatestWins {
		r.placeLatest(l, ln, it)
		return
	}
	stops := e.Stops && l.Poison == BlockKey
	switch {
	case !fresh && ln.behind && (e.State == Waiting || e.State == Scheduled):
		r.park(it, Parking{State: Behind, Attempts: e.Attempts})
		return
	case e.State == Waiting && fresh:
		ln.blocked = e.Waits || stops
	case e.State == Scheduled:
		// It holds nobody up and waits for nobody, except for its turn; behind a
		// blocked lane it queues like the others.
		if fresh {
			ln.blocked = e.Waits || stops
		}
	case e.Waits || stops:
		// An earlier one is parked and not in memory in full: its end brings
		// this one back.
		if fresh {
			ln.blocked = true
		}
		if e.State != Waiting && !stops {
			// Unless those before it wait for this one: a scheduled one may have come
			// behind it. Then the lane has no other head, so they are read now.
			ln.blocked, ln.behind = false, true
			r.drains[ln] = l
		}
		r.park(it, Parking{State: Behind, Attempts: e.Attempts})
		return
	case e.State != Waiting:
		// The head that the lane waited for is due. What was parked behind it is
		// read when it is settled.
		ln.blocked = false
		if !fresh {
			ln.behind = true
			r.drains[ln] = l
		}
	}
	if ln.blocked {
		r.park(it, Parking{State: Behind, Attempts: e.Attempts})
		return
	}
	ln.enter(it)
	ln.advance(l, false)
}

// placeLatest puts a message into a lane in which the newest alone counts.
func (r *relay) placeLatest(l *line, ln *lane, it *item) {
	// What was parked since the read is not in what the read says.
	unseen := ln.parked != 0 && ln.parked < it.Seq
	if unseen {
		ln.parked, it.Stops = 0, true
	}
	if it.Waits || unseen {
		r.pending.Drop = append(r.pending.Drop, Drop{Destination: l.Name, Shard: it.Shard, Lane: ln.name, Before: it.Seq})
	}
	newer := ln.running != nil && ln.running.Seq > it.Seq
	if len(ln.queue) > 0 && ln.queue[0].Seq > it.Seq {
		newer = true
	}
	if newer {
		r.supersede(it)
		return
	}
	for _, old := range ln.queue {
		it.Stops = it.Stops || old.Stops
		r.supersede(old)
	}
	ln.queue = append(ln.queue[:0:0], it)
	ln.advance(l, false)
}

// shed chooses n of the shards in mask, the highest first.
func shed(mask uint64, n int) uint64 {
	var out uint64
	for ; n > 0 && mask != 0; n-- {
		top := uint64(1) << (63 - bits.LeadingZeros64(mask))
		out |= top
		mask &^= top
	}
	return out
}
