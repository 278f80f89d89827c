package alert

import (
	"slices"
	"time"
)

// duty is what the routes together ask for one sink and one problem.
type duty struct {
	wait   time.Duration
	repeat time.Duration
	then   bool // told only when nobody took it in time
}

// The defaults of a Route and a Config.
const (
	defaultWait     = 30 * time.Second
	defaultRepeat   = 4 * time.Hour
	defaultEscalate = 15 * time.Minute
	defaultSettle   = time.Minute
	defaultMaxOpen  = 1000
)

// orDefault returns d, its default when it is zero, and zero when it is negative.
func orDefault(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return max(d, 0)
}

// duties returns, by sink, what is to be told of a problem with a rule and a
// severity.
func (c Config) duties(p Problem) map[string]duty {
	out := map[string]duty{}
	add := func(s Sink, d duty) {
		if p.Rule == AlertPath && p.Destination == s.Name() {
			return // a sink is not told through itself that it fails
		}
		old, ok := out[s.Name()]
		switch {
		case !ok || (old.then && !d.then):
			out[s.Name()] = d
		case old.then == d.then:
			if d.repeat > 0 && (old.repeat == 0 || d.repeat < old.repeat) {
				old.repeat = d.repeat
			}
			old.wait = min(old.wait, d.wait)
			out[s.Name()] = old
		}
	}
	for _, r := range c.Routes {
		if !r.matches(p.Rule, p.Severity) {
			continue
		}
		repeat := orDefault(r.Repeat, defaultRepeat)
		for _, s := range r.To {
			add(s, duty{wait: orDefault(r.Wait, defaultWait), repeat: repeat})
		}
		for _, s := range r.Then {
			add(s, duty{wait: orDefault(r.Escalate, defaultEscalate), repeat: repeat, then: true})
		}
	}
	return out
}

// muted reports whether what one sink would be told of s is already said by
// another problem of the same place: the system is down, so of course its queue
// is stuck, and of course the next poll fails too. Only a problem at least as
// severe that the same sink is told of mutes. Of two reports that one system is
// down the second is told only if it was repeated well after the end of the first:
// the one who reported it may just not have looked again yet.
func (c Config) muted(s *state, sink string, all []*state, now time.Time) bool {
	at := s.lived(now)
	for _, o := range all {
		if !o.explains(s) || at.Before(o.First) {
			continue
		}
		d, ok := c.duties(o.Problem)[sink]
		if !ok || d.then {
			continue
		}
		if o.open() {
			return true
		}
		if o.lived(now).Before(o.First.Add(d.wait)) {
			continue // too short for anybody to know of it
		}
		free := o.Ended.Add(o.hold(c.Settle))
		if !at.After(free) || (o.Problem.Rule == s.Problem.Rule && !s.Last.After(free)) {
			return true
		}
	}
	return false
}

// outlived reports whether s, of which nobody was told, is one more report of an
// outage that is told as over, and was not repeated since. Left open it would be
// told once the first is forgotten.
func (c Config) outlived(s *state, all []*state, now time.Time) bool {
	if len(s.Told) > 0 || !s.Answered.IsZero() {
		return false
	}
	for _, o := range all {
		if o.open() || len(o.Told) == 0 || o.Problem.Rule != s.Problem.Rule || !o.explains(s) {
			continue
		}
		if free := o.Ended.Add(o.hold(c.Settle)); now.After(free) && !s.Last.After(free) {
			return true
		}
	}
	return false
}

// explains reports whether who knows of o knows s too. Of several reports that
// one system is down, the first explains the later ones.
func (s *state) explains(o *state) bool {
	p, q := s.Problem, o.Problem
	if p.Severity < q.Severity || !samePlace(p, q) {
		return false
	}
	if p.Rule != q.Rule {
		return slices.Contains(q.Rule.text().under, p.Rule)
	}
	if p.Rule != Down && p.Rule != Auth {
		return false
	}
	return s.First.Before(o.First) || (s.First.Equal(o.First) && s.fingerprint < o.fingerprint)
}

// samePlace reports whether two problems are about one system, or, where one of
// them names no system, one destination or link.
func samePlace(a, b Problem) bool {
	switch {
	case a.System != "" && b.System != "":
		return a.System == b.System
	case a.Destination != "" && b.Destination != "":
		return a.Destination == b.Destination
	}
	return a.Link != "" && a.Link == b.Link
}
