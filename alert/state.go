package alert

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// state is what is known of one problem: the body of a Row.
type state struct {
	Problem     Problem         `json:"problem"`
	First       time.Time       `json:"first"`
	Last        time.Time       `json:"last"`
	Answered    time.Time       `json:"answered,omitzero"` // the cause is gone, what it held up is being caught up
	Ended       time.Time       `json:"ended,omitzero"`    // cleared; zero while open
	Resolved    time.Time       `json:"resolved,omitzero"` // and everybody knows
	Count       int64           `json:"count"`
	Peak        int64           `json:"peak"`
	Flaps       int             `json:"flaps,omitempty"`
	Generation  int             `json:"generation"`
	AckedBy     string          `json:"acked_by,omitempty"`
	Note        string          `json:"note,omitempty"`
	Told        map[string]told `json:"told,omitempty"` // by sink, of this generation
	fingerprint string
	seq         int64
	body        []byte // as stored
}

// told is what one sink has accepted.
type told struct {
	At       time.Time `json:"at"`
	Severity Severity  `json:"severity"`
	N        int       `json:"n"` // how many notifications
	Done     bool      `json:"done,omitempty"`
}

// tally is reports that are not in the store yet.
type tally struct {
	latest      Problem
	count, peak int64
	first, last time.Time
}

// add counts p, which was received at now. Reports are ordered by when they were
// received: At is the reporter's and may be older than a clear that came first.
func (t *tally) add(p Problem, now time.Time) {
	if p.At.IsZero() || p.At.After(now) {
		p.At = now
	}
	t.merge(tally{latest: p, count: p.Count, peak: p.Waiting, first: p.At, last: now})
}

// merge adds u.
func (t *tally) merge(u tally) {
	if t.count == 0 {
		*t = u
		return
	}
	severity := max(t.latest.Severity, u.latest.Severity)
	if !u.last.Before(t.last) {
		t.latest, t.last = u.latest, u.last
	}
	t.latest.Severity = severity
	if u.first.Before(t.first) {
		t.first = u.first
	}
	t.peak = max(t.peak, u.peak)
	t.count += u.count
}

func decode(r Row) (*state, error) {
	s := &state{fingerprint: r.Fingerprint, seq: r.Seq, body: r.Body}
	if err := json.Unmarshal(r.Body, s); err != nil {
		return nil, fmt.Errorf("alert: stored problem %s cannot be read: %w", r.Fingerprint, err)
	}
	return s, nil
}

func (s *state) row() (Row, error) {
	body, err := json.Marshal(s)
	return Row{Fingerprint: s.fingerprint, Seq: s.seq, Body: body}, err
}

// open reports whether the problem exists now.
func (s *state) open() bool { return s.Generation > 0 && s.Ended.IsZero() }

// report adds what was tallied. A report from before the end only counts; a later
// one opens the problem again, as the same one unless its end was already told.
func (s *state) report(t tally) {
	switch {
	case s.Generation == 0 || (!s.Resolved.IsZero() && t.last.After(s.Ended)):
		*s = state{fingerprint: s.fingerprint, seq: s.seq, Generation: s.Generation + 1, First: t.first}
		s.Problem.Severity = t.latest.Severity
	case !s.Ended.IsZero() && t.last.After(s.Ended):
		s.Ended, s.Answered, s.Note = time.Time{}, time.Time{}, ""
		s.Flaps++
	case t.last.After(s.Answered):
		s.Answered = time.Time{} // it fell back while it caught up: one outage
	}
	severity := max(s.Problem.Severity, t.latest.Severity)
	if !t.last.Before(s.Last) {
		s.Problem, s.Last = t.latest, t.last
	}
	s.Problem.Severity = severity
	s.Count += t.count
	s.Peak = max(s.Peak, t.peak)
}

// clear applies c: it ends the problem, or notes that its cause is gone, unless
// the problem was reported after that.
func (s *state) clear(c clearance) bool {
	if !s.open() || s.Last.After(c.at) {
		return false
	}
	if c.recovering {
		if !s.Answered.IsZero() {
			return false
		}
		s.Answered = c.at
		return true
	}
	s.Ended, s.Note = c.at, clean(c.note, maxText)
	s.Peak = max(s.Peak, c.problem.Waiting)
	return true
}

// lived returns until when the cause was there, as far as is known at now.
func (s *state) lived(now time.Time) time.Time {
	switch {
	case s.Generation > 0 && !s.Answered.IsZero():
		return s.Answered
	case !s.open():
		return s.Ended
	}
	return now
}

// hold is how long the problem must stay cleared before it counts as over.
func (s *state) hold(settle time.Duration) time.Duration {
	most := max(settle, time.Hour)
	for range min(s.Flaps+s.Generation-1, 16) {
		settle = min(2*settle, most)
	}
	return settle
}

// rested reports whether the problem is events and none came for long enough.
func (s *state) rested(now time.Time) bool {
	rest := s.Problem.Rule.text().rest
	return rest > 0 && now.Sub(s.Last) >= rest
}

// over reports whether the problem ended and has stayed so.
func (s *state) over(now time.Time, settle time.Duration) bool {
	return !s.open() && now.Sub(s.Ended) >= s.hold(settle)
}

// due returns what a sink with duty d must be told now, if anything.
func (s *state) due(sink string, d duty, now time.Time, settle time.Duration, muted bool) (State, bool) {
	t := s.Told[sink]
	if t.N == 0 {
		start := s.First.Add(d.wait)
		if muted || s.lived(now).Before(start) || (d.then && s.AckedBy != "") {
			return "", false
		}
		if d.then {
			return Escalated, true
		}
		return Firing, true
	}
	switch {
	case t.Done:
		return "", false
	case !s.open():
		return Resolved, s.over(now, settle)
	case !s.Answered.IsZero():
		return "", false // the end is told soon, with what was caught up
	case s.Problem.Severity > t.Severity:
		return Escalated, true
	case d.repeat > 0 && s.AckedBy == "" && !muted && now.Sub(t.At) >= d.repeat:
		return Repeat, true
	}
	return "", false
}

// tell notes that a sink has accepted a notification.
func (s *state) tell(sink string, st State, now time.Time) {
	t := s.Told[sink]
	t.At, t.Severity, t.N, t.Done = now, s.Problem.Severity, t.N+1, st == Resolved
	if s.Told == nil {
		s.Told = map[string]told{}
	}
	s.Told[sink] = t
}

// notification returns the state as a sink gets it.
func (s *state) notification(st State, sink string) Notification {
	p := s.Problem
	p.Count = s.Count
	n := Notification{State: st, Problem: p, Fingerprint: s.fingerprint, First: s.First, Last: s.Last, Answered: s.Answered, Ended: s.Ended,
		Count: s.Count, Peak: s.Peak, Flaps: s.Flaps, Generation: s.Generation, AckedBy: s.AckedBy, Note: s.Note}
	n.ID = s.fingerprint + "/" + strconv.FormatInt(s.First.UnixMilli(), 36) + "/" + strconv.Itoa(s.Told[sink].N+1)
	return n
}
