package outboxtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
)

// A record is what was committed and what was delivered, and says whether that is
// as promised.
type record struct {
	// repeats is how many deliveries may come again; below zero, any number.
	repeats int
	// left is how many rows stay in the database, on purpose.
	left int
	// mayFind: it is the audit that finds what the scenario hid.
	mayFind bool

	mu        sync.Mutex
	order     map[string]outbox.Order
	committed map[track][]string
	got       map[track][]string
	times     map[string]int
	tried     map[string]int
	active    map[track]string
	repeated  int
	wrong     []string
	serial    int
}

// A track is what order is kept in: a key of a destination.
type track struct{ to, key string }

func newRecord() *record {
	return &record{
		order: map[string]outbox.Order{}, committed: map[track][]string{}, got: map[track][]string{},
		times: map[string]int{}, tried: map[string]int{}, active: map[track]string{},
	}
}

// orders says what order a destination keeps.
func (r *record) orders(to string, o outbox.Order) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.order[to] = o
}

// of returns the track of a message, and whether it has an order.
func (r *record) of(to, key string) (track, bool) {
	switch r.order[to] {
	case outbox.Serial:
		return track{to, "serial"}, true
	case outbox.Unordered:
		return track{to, ""}, false
	default:
		return track{to, key}, key != ""
	}
}

// commit notes that messages are committed, in this order.
func (r *record) commit(msgs ...outbox.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range msgs {
		at, _ := r.of(m.To, m.Key)
		r.committed[at] = append(r.committed[at], m.ID)
	}
}

// expect sets what a key must have delivered.
func (r *record) expect(to, key string, ids ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, _ := r.of(to, key)
	r.committed[at] = ids
}

// give up says that messages were discarded, or replaced by newer ones.
func (r *record) giveUp(ids ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for at, list := range r.committed {
		r.committed[at] = slices.DeleteFunc(list, func(id string) bool { return slices.Contains(ids, id) })
	}
}

// begin notes that a delivery begins.
func (r *record) begin(who, to, key, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tried[id]++
	at, ordered := r.of(to, key)
	if !ordered {
		return
	}
	if other := r.active[at]; other != "" {
		r.wrong = append(r.wrong, fmt.Sprintf("two in flight of key %.40q: %s by %s while %s", key, id, who, other))
	}
	r.active[at] = id + " by " + who
}

// finish notes that a delivery ended. One whose process was given up before does
// not end anything.
func (r *record) finish(who, to, key, id string, arrived bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, _ := r.of(to, key)
	if r.active[at] == id+" by "+who {
		delete(r.active, at)
	}
	if !arrived {
		return
	}
	if r.times[id]++; r.times[id] > 1 {
		r.repeated++
		return
	}
	r.got[at] = append(r.got[at], id)
}

// dead gives up whatever a process has under way.
func (r *record) dead(who string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for at, what := range r.active {
		if strings.HasSuffix(what, " by "+who) {
			delete(r.active, at)
		}
	}
}

// missing counts what is committed and was not delivered.
func (r *record) missing() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, list := range r.committed {
		for _, id := range list {
			if r.times[id] == 0 {
				n++
			}
		}
	}
	return n
}

// arrived counts the messages that were delivered.
func (r *record) arrived() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.times)
}

// came returns what was delivered of a key, in order.
func (r *record) came(to, key string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, _ := r.of(to, key)
	return slices.Clone(r.got[at])
}

// attempts is how often a message was tried.
func (r *record) attempts(id string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tried[id]
}

// again is how many deliveries came again.
func (r *record) again() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.repeated
}

// verdict says what is wrong, "" if nothing is.
func (r *record) verdict() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	wrong := slices.Clone(r.wrong)
	for at, want := range r.committed {
		got := r.got[at]
		for _, id := range want {
			if r.times[id] == 0 {
				wrong = append(wrong, fmt.Sprintf("lost: %s of key %.40q", id, at.key))
			}
		}
		if _, ordered := r.of(at.to, at.key); ordered && len(got) == len(want) && !slices.Equal(got, want) {
			i := 0
			for got[i] == want[i] {
				i++
			}
			i = max(0, i-3)
			wrong = append(wrong, fmt.Sprintf("order of key %.40q from %d on: %v instead of %v", at.key, i, clip(got[i:]), clip(want[i:])))
		}
	}
	for at, got := range r.got {
		for _, id := range got {
			if !slices.Contains(r.committed[at], id) {
				wrong = append(wrong, fmt.Sprintf("ghost: %s of key %.40q was never committed", id, at.key))
			}
		}
	}
	if r.repeats >= 0 && r.repeated > r.repeats {
		wrong = append(wrong, fmt.Sprintf("%d deliveries came again, at most %d may", r.repeated, r.repeats))
	}
	if len(wrong) > 12 {
		wrong = append(wrong[:12], fmt.Sprintf("and %d more", len(wrong)-12))
	}
	return strings.Join(wrong, "\n")
}

func clip(list []string) []string { return list[:min(len(list), 12)] }

// events counts what the queues told.
type events struct {
	mu   sync.Mutex
	n    map[string]int
	said []string
}

// Start does nothing.
func (*events) Start(ctx context.Context, _ dovetail.Event) context.Context { return ctx }

// Record counts an event.
func (s *events) Record(_ context.Context, e dovetail.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n == nil {
		s.n = map[string]int{}
	}
	s.n[e.Name]++
	s.n[e.Name+" "+e.Outcome]++
	if e.Name != "outbox.delivery" && e.Err != nil && len(s.said) < 20 {
		s.said = append(s.said, fmt.Sprintf("%s %s: %v", e.Name, e.Outcome, e.Err))
	}
}

// count returns how often an event came: by its name, or by its name and outcome.
func (s *events) count(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n[name]
}

// String returns what failed.
func (s *events) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.said, "\n")
}
