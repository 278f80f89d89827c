package alert

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A State says what a notification tells.
type State string

// The states of a notification.
const (
	// Firing: the problem began.
	Firing State = "firing"
	// Repeat: it is still open.
	Repeat State = "repeat"
	// Escalated: nobody took it in time, or it became more severe.
	Escalated State = "escalated"
	// Resolved: it is over.
	Resolved State = "resolved"
	// Trial: nothing is wrong; Manager.Test tries the path.
	Trial State = "test"
)

// A Notification is what a sink sends: a problem and what became of it. It is a
// value.
type Notification struct {
	// ID is the same when the same notification is sent again after a crash.
	ID string
	// State says what it tells.
	State State
	// Problem is the latest report, with the defaults of its rule filled in.
	Problem Problem
	// Fingerprint is the problem's.
	Fingerprint string
	// First and Last are when it was first and last reported since it began.
	First, Last time.Time
	// Answered is when its cause was gone, if that was told apart from the end; what
	// it had held up was caught up since then.
	Answered time.Time
	// Ended is when it was cleared; zero while it is open.
	Ended time.Time
	// Count is how many failures were reported since it began.
	Count int64
	// Peak is the most that ever waited.
	Peak int64
	// Flaps is how often it came back since it began.
	Flaps int
	// Generation counts how often it began: 2 means that it was resolved once
	// before, not long ago.
	Generation int
	// AckedBy is who took it, if somebody did.
	AckedBy string
	// Note is what the one who cleared it said.
	Note string
}

// Lasted returns how long the problem was, or has been, there. The time in which
// what it had held up was caught up is not part of it.
func (n Notification) Lasted() time.Duration {
	switch {
	case !n.Answered.IsZero():
		return n.Answered.Sub(n.First)
	case n.Ended.IsZero():
		return n.Last.Sub(n.First)
	}
	return n.Ended.Sub(n.First)
}

// Summary returns the notification in one line.
func (n Notification) Summary() string {
	var b strings.Builder
	if n.State == Resolved {
		b.WriteString("RESOLVED")
	} else {
		b.WriteString(strings.ToUpper(n.Problem.Severity.String()))
	}
	switch n.State {
	case Firing, Resolved:
	default:
		b.WriteString(" (" + string(n.State) + ")")
	}
	b.WriteString(": ")
	if w := n.Problem.where(); w != "" {
		b.WriteString(w + ": ")
	}
	b.WriteString(n.Problem.Title)
	return b.String()
}

// Text returns the notification as a person reads it: what failed, for which
// record, since when, why, and what to do. Times are in UTC.
func (n Notification) Text() string {
	var b strings.Builder
	b.WriteString(n.Summary())
	b.WriteByte('\n')
	line := func(name, value string) {
		if value != "" {
			b.WriteString(name + ": " + value + "\n")
		}
	}
	p := n.Problem
	if n.State == Resolved {
		line("Lasted", lasted(n))
		line("Note", n.Note)
	}
	line("What", what(p))
	line("Record", p.Sample)
	if !n.First.IsZero() {
		line("Since", n.First.UTC().Format("2006-01-02 15:04:05 MST"))
	}
	line("Why", p.Why)
	if n.State != Resolved {
		line("So far", soFar(n))
		line("Taken by", n.AckedBy)
	}
	if n.Generation > 1 {
		line("Again", "it began "+strconv.Itoa(n.Generation)+" times lately")
	}
	if n.State != Resolved {
		line("Do", p.Hint)
	}
	line("Problem", n.Fingerprint)
	return b.String()
}

// where names the place of the problem, most general first.
func (p Problem) where() string {
	var parts []string
	for _, s := range []string{p.Link, string(p.System), p.Destination, p.Operation} {
		if s != "" && (len(parts) == 0 || parts[len(parts)-1] != s) {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ", ")
}

// what names the cause.
func what(p Problem) string {
	s := string(p.Rule)
	if p.Class != 0 {
		s += ", " + p.Class.String()
	}
	if p.Code != "" {
		s += ", code " + p.Code
	}
	if p.Field != "" {
		s += ", field " + p.Field
	}
	return s
}

func lasted(n Notification) string {
	s := round(n.Lasted()) + ", " + strconv.FormatInt(n.Count, 10) + " failures"
	if n.Peak > 0 {
		s += fmt.Sprintf(", %d caught up", n.Peak)
	}
	if n.Flaps > 0 {
		s += fmt.Sprintf(", came back %d times", n.Flaps)
	}
	return s
}

func soFar(n Notification) string {
	s := strconv.FormatInt(n.Count, 10) + " failures"
	if n.Problem.Waiting > 0 {
		s += fmt.Sprintf(", %d waiting", n.Problem.Waiting)
	}
	if n.Problem.Oldest > 0 {
		s += ", the oldest for " + round(n.Problem.Oldest)
	}
	return s
}

// round prints a duration as a person says it: "22m", "1h5m", "3s".
func round(d time.Duration) string {
	switch {
	case d >= time.Hour:
		d = d.Round(time.Minute)
	case d >= time.Second:
		d = d.Round(time.Second)
	default:
		return d.Round(time.Millisecond).String()
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
