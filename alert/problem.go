package alert

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tectari/dovetail"
)

// A Problem is failures with one cause, as the part that met them reports it. It
// is a value. Put no payload and no secret into it: it leaves the program.
type Problem struct {
	// Rule is the kind of problem. Required.
	Rule Rule
	// Severity is how serious it is. Defaults to the rule's.
	Severity Severity
	// Link, System, Destination and Operation say where, each empty where it does
	// not apply.
	Link        string
	System      dovetail.System
	Destination string
	Operation   string
	// Class, Code and Field say what went wrong, low in cardinality: the class of
	// the error, the system's own code, the field at fault.
	Class dovetail.Class
	Code  string
	Field string
	// Title names the problem in a few words. Defaults to the rule's.
	Title string
	// Why is the cause in words. Defaults to nothing.
	Why string
	// Hint is what to do. Defaults to the rule's.
	Hint string
	// Sample is one record it happened to, by its ID or key. Defaults to nothing.
	Sample string
	// Count is how many failures this report stands for. Defaults to 1.
	Count int64
	// Waiting is how many messages or records are held back now. Defaults to 0.
	Waiting int64
	// Oldest is how long the oldest of them has waited. Defaults to 0.
	Oldest time.Duration
	// At is when it happened. Defaults to now.
	At time.Time
}

// Fingerprint returns the identity of the problem: "v1:" and a hash of Rule,
// Link, System, Destination, Operation, Class, Code and Field. Times, counts, IDs
// and messages are not in it, so all failures with one cause have one
// fingerprint. It never changes between releases that have the same version.
func (p Problem) Fingerprint() string {
	h := sha256.New()
	var n [binary.MaxVarintLen64]byte
	for _, s := range [...]string{string(p.Rule), p.Link, string(p.System), p.Destination, p.Operation, p.Class.String(), p.Code, p.Field} {
		h.Write(n[:binary.PutUvarint(n[:], uint64(len(s)))])
		h.Write([]byte(s))
	}
	return "v1:" + hex.EncodeToString(h.Sum(nil)[:16])
}

// covers reports whether q is meant when p is cleared: same rule and place, and
// the same in each detail that p names.
func (p Problem) covers(q Problem) bool {
	return p.Rule == q.Rule && p.Link == q.Link && p.System == q.System && p.Destination == q.Destination &&
		(p.Operation == "" || p.Operation == q.Operation) &&
		(p.Class == dovetail.Unclassified || p.Class == q.Class) &&
		(p.Code == "" || p.Code == q.Code) &&
		(p.Field == "" || p.Field == q.Field)
}

// The lengths, in bytes, that texts are cut to.
const (
	maxName = 200
	maxText = 1000
)

// filled returns p with every default set and every text cut and cleaned.
func (p Problem) filled(now time.Time) Problem {
	t := p.Rule.text()
	if p.Severity == 0 || p.Severity > Critical {
		p.Severity = t.severity
	}
	if p.Title == "" {
		p.Title = t.title
	}
	if p.Hint == "" {
		p.Hint = t.hint
	}
	if p.Count <= 0 {
		p.Count = 1
	}
	if p.At.IsZero() {
		p.At = now
	}
	p.Rule = Rule(clean(string(p.Rule), maxName))
	p.Link = clean(p.Link, maxName)
	p.System = dovetail.System(clean(string(p.System), maxName))
	p.Destination = clean(p.Destination, maxName)
	p.Operation = clean(p.Operation, maxName)
	p.Code = clean(p.Code, maxName)
	p.Field = clean(p.Field, maxName)
	p.Title = clean(p.Title, maxName)
	p.Sample = clean(p.Sample, maxName)
	p.Why = clean(p.Why, maxText)
	p.Hint = clean(p.Hint, maxText)
	return p
}

// clean cuts s to at most limit bytes at a rune, and turns control characters
// and broken UTF-8 into spaces, so that a text cannot forge lines in a message.
func clean(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit-len("…")]
		for len(s) > 0 {
			if r, n := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || n > 1 {
				break
			}
			s = s[:len(s)-1]
		}
		s += "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
}
