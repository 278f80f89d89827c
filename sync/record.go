package sync

import (
	"time"

	"github.com/tectari/dovetail"
)

// record is the state of one record: what is held to be right, and per system
// what it last showed. Slices are indexed by field, shadows by system.
type record struct {
	key    string
	seq    int64 // row version in the store; zero for a record not yet saved
	exists bool
	values []dovetail.Value
	revs   []uint32 // zero: the value is not known
	from   []origin
	held   []hold   // of fields; nil when none is parked
	parked string   // why the whole record waits for a person; empty: it does not
	waits  []parent // parents that must exist first
	shadow []shadow
}

// origin says who set a canonical value, and when.
type origin struct {
	system int // index; -1: nobody or a person
	at     time.Time
	by     string
}

// hold is one parked field.
type hold struct {
	why    string
	system int // whose showing could not be decided
}

type parent struct {
	link, key string
	system    int
}

// status is how a record stands in one system.
type status uint8

const (
	unknown  status = iota // not there, as far as is known
	creating               // a create was begun, its outcome is not recorded yet
	linked
	unlinked // the system goes without it, by decision
)

// shadow is what one system showed of the record, as far as it is known.
type shadow struct {
	status  status
	id      string
	version string
	gen     uint32 // how often the record was created again there
	touch   int64  // moves with each read or write that counted
	unsure  bool   // a write was begun and its outcome is not recorded
	ack     []dovetail.Value
	rev     []uint32         // the canonical revision each showing stands for; zero: none
	pend    []dovetail.Value // what is being sent
	pendRev []uint32         // zero: nothing; both nil when nothing is
	ghosts  []ghost          // what was sent, given up on, and may still arrive
	refused []uint32         // revisions that the system called invalid; nil when none
	aliases []string         // IDs the record once had there; never taken for a new record
	at      time.Time
	by      string
}

func newRecord(key string, fields, systems int) *record {
	// One piece of memory for all values and one for all revisions: a record is made
	// each time one is read.
	values, revs := make([]dovetail.Value, fields*(systems+1)), make([]uint32, fields*(systems+1))
	r := &record{
		key: key, exists: true,
		values: part(values, 0, fields),
		revs:   part(revs, 0, fields),
		from:   make([]origin, fields),
		shadow: make([]shadow, systems),
	}
	for i := range r.from {
		r.from[i].system = -1
	}
	for s := range r.shadow {
		r.shadow[s].ack, r.shadow[s].rev = part(values, s+1, fields), part(revs, s+1, fields)
	}
	return r
}

// part is the i-th n elements of s.
func part[E any](s []E, i, n int) []E { return s[i*n : (i+1)*n : (i+1)*n] }

// ghost is a value of a request that was given up on. When it shows up, that is
// our own request arriving late, not somebody's edit. It is kept until the record
// is seen after until, when the request cannot travel any more.
type ghost struct {
	field int
	value dovetail.Value
	rev   uint32
	until time.Time
}

// haunt gives up on what is being sent: its outcome was looked for, but the
// request itself may still arrive.
func (s *shadow) haunt(until time.Time) {
	for f, rev := range s.pendRev {
		if rev != 0 {
			s.ghosts = append(s.ghosts, ghost{field: f, value: s.pend[f], rev: rev, until: until})
		}
	}
	s.settle()
}

// haunted returns for how long requests that were given up on may still arrive.
func (s *shadow) haunted(now time.Time) time.Duration {
	var wait time.Duration
	for _, g := range s.ghosts {
		wait = max(wait, g.until.Sub(now))
	}
	return wait
}

// exorcise drops the ghosts that cannot show up any more: the record was seen
// now. It reports whether there were any.
func (s *shadow) exorcise(now time.Time) bool {
	kept := s.ghosts[:0]
	for _, g := range s.ghosts {
		if now.Before(g.until) {
			kept = append(kept, g)
		}
	}
	dropped := len(kept) < len(s.ghosts)
	if s.ghosts = kept; len(kept) == 0 {
		s.ghosts = nil
	}
	return dropped
}

// pending reports whether a write of the system is not yet settled.
func (s *shadow) pending() bool { return s.unsure || s.pendRev != nil }

// settle forgets the pending write.
func (s *shadow) settle() { s.unsure, s.pend, s.pendRev = false, nil, nil }

// expect notes what is about to be sent.
func (s *shadow) expect(fields []int, r *record) {
	s.pend = make([]dovetail.Value, len(s.ack))
	s.pendRev = make([]uint32, len(s.ack))
	for _, f := range fields {
		s.pend[f], s.pendRev[f] = r.values[f], r.revs[f]
	}
	s.unsure = true
	s.touch++
}

// reset forgets what the system showed: the record is no longer there.
func (s *shadow) reset() {
	s.settle()
	if s.id != "" {
		s.aliases = append(s.aliases, s.id)
	}
	s.status, s.id, s.version = unknown, "", ""
	s.gen++
	s.touch++
	s.refused = nil
	clear(s.ack)
	clear(s.rev)
}

func (r *record) isHeld(f int) bool { return r.held != nil && r.held[f].why != "" }

func (r *record) holdField(f int, h hold) {
	if r.held == nil {
		r.held = make([]hold, len(r.values))
	}
	r.held[f] = h
}

func (r *record) release(f int) {
	if r.held == nil {
		return
	}
	r.held[f] = hold{}
	for _, h := range r.held {
		if h.why != "" {
			return
		}
	}
	r.held = nil
}
