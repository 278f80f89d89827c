package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tectari/dovetail"
)

// The size and the pace of an audit. Where it has to search long, among messages
// of destinations that stand still, it takes no more than a share of the time.
const (
	auditEntries = 100
	auditBytes   = 1 << 20
	auditEvery   = 5 * time.Second
	auditShare   = 100
)

// errFoundBehind is a fault of the relay or of its store.
var errFoundBehind = errors.New("outbox: a waiting message was passed by; unless the database was restored, crashed, or had its sequence set back, please report it as a bug of this library")

// auditPace is how often a relay looks for what it passed by: soon enough that a
// message is found, at the second look, before a person is told that it is stuck.
func (q *Queue) auditPace() time.Duration {
	return max(min(auditEvery, q.watchEvery()), 100*time.Millisecond)
}

// audit looks from the beginning for waiting messages that the readers have passed
// and that are not in memory, and takes them in. There are none unless this
// package or the store is wrong, so each is reported as a failure. The oldest come
// first and the rest of a backlog is delivered meanwhile, so a bounded look is
// enough. What is missing must be so in two looks: a store may show a message
// late, which its regular read returns.
func (r *relay) audit() error {
	now := time.Now()
	if now.Before(r.nextAudit) {
		return nil
	}
	var wants []Want
	r.mu.Lock()
	if r.lost || r.stopping {
		r.mu.Unlock()
		return nil
	}
	for _, l := range r.order {
		if !l.idle() && !l.full() {
			wants = append(wants, Want{Destination: l.Name, Shards: l.shards &^ l.giving})
		}
	}
	r.mu.Unlock()
	if len(wants) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(r.base, max(r.q.config.Lease/20, 50*time.Millisecond))
	defer cancel()
	page, err := r.q.store.ReadMessages(ctx, ReadQuery{Wants: wants, Limit: auditEntries, Bytes: auditBytes})
	end := time.Now()
	r.nextAudit = end.Add(max(r.q.auditPace(), auditShare*end.Sub(now)))
	if ctx.Err() != nil {
		return nil // too much to search through; later it is less
	}
	if err != nil {
		return fmt.Errorf("look for messages passed by: %w", err)
	}
	r.mu.Lock()
	found := r.passedBy(page.Entries)
	r.admit(found)
	r.mu.Unlock()
	for _, e := range found {
		r.q.observer.Record(r.base, dovetail.Event{
			Name: "outbox.found-behind", Time: time.Now(), System: r.q.system(e.To), Destination: e.To, Key: e.Key, Message: e.ID,
			Outcome: "found", Why: "it waits behind the position of the relay; it is delivered now", Count: 1,
			Err: errFoundBehind, Class: dovetail.Permanent, Headers: e.Headers,
		})
	}
	return nil
}

// passedBy returns which entries are missing in memory for the second time.
func (r *relay) passedBy(entries []Entry) []Entry {
	var found []Entry
	missing := map[int64]bool{}
	for _, e := range entries {
		l := r.lines[e.To]
		if l == nil || !l.has(e.Shard) || r.memory[e.Seq] != nil {
			continue
		}
		position := l.position
		if l.live {
			position = r.head
		}
		switch {
		case e.Seq > position.After: // to be read
		case r.missing[e.Seq]:
			found = append(found, e)
		default:
			missing[e.Seq] = true
		}
	}
	r.missing = missing
	return found
}
