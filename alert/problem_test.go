package alert

import (
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"github.com/tectari/dovetail"
	"pgregory.net/rapid"
)

func TestEveryRuleSaysWhatToDo(t *testing.T) {
	t.Parallel()
	require.Len(t, Rules(), 14)
	seen := map[string]Rule{}
	for _, r := range Rules() {
		require.NotEmpty(t, r)
		require.Contains(t, []Severity{Info, Warning, Critical}, r.Severity(), r)
		require.NotEmpty(t, r.Title(), r)
		require.Greater(t, len(r.Hint()), 30, "the hint of %s says what to do", r)
		require.Empty(t, seen[r.Hint()], r)
		seen[r.Hint()] = r
		for _, under := range r.text().under {
			require.Contains(t, Rules(), under, r)
			require.Empty(t, under.text().under, "%s is muted by %s, which another mutes: both could be silent", r, under)
		}
	}
	own := Rule("our own")
	require.Equal(t, Critical, own.Severity(), "what nobody knows is taken seriously")
	require.NotEmpty(t, own.Title())
	require.NotEmpty(t, own.Hint())
}

func TestFingerprintIsTheCause(t *testing.T) {
	t.Parallel()
	base := Problem{Rule: Down, Link: "customers", System: "billing", Destination: "d", Operation: "create", Class: dovetail.Unavailable, Code: "503", Field: "email"}
	require.Equal(t, "v1:33693a88b97a975538548958685ef99e", base.Fingerprint(), "it is stored: a change needs a new version")

	same := base
	same.Severity, same.Title, same.Why, same.Hint, same.Sample = Info, "t", "w", "h", "s"
	same.Count, same.Waiting, same.Oldest, same.At = 7, 8, 9, time.Now()
	require.Equal(t, base.Fingerprint(), same.Fingerprint())

	seen := map[string]string{base.Fingerprint(): "none"}
	for name, p := range map[string]func(*Problem){
		"rule": func(p *Problem) { p.Rule = Auth }, "link": func(p *Problem) { p.Link = "x" }, "system": func(p *Problem) { p.System = "x" },
		"destination": func(p *Problem) { p.Destination = "x" }, "operation": func(p *Problem) { p.Operation = "x" },
		"class": func(p *Problem) { p.Class = dovetail.Auth }, "code": func(p *Problem) { p.Code = "x" }, "field": func(p *Problem) { p.Field = "x" },
		"boundary": func(p *Problem) { p.Destination, p.Operation = "dc", "reate" },
	} {
		q := base
		p(&q)
		require.Empty(t, seen[q.Fingerprint()], name)
		seen[q.Fingerprint()] = name
	}
}

func TestProblemIsCutAndCleaned(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text") + strings.Repeat(rapid.StringN(0, 3, -1).Draw(t, "unit"), rapid.IntRange(0, 2000).Draw(t, "n")) + "\r\n\x00\x1b[31m\xff"
		p := Problem{Rule: Down, Link: text, System: dovetail.System(text), Destination: text, Operation: text, Code: text, Field: text,
			Title: text, Why: text, Hint: text, Sample: text}.filled(time.Now())
		v := reflect.ValueOf(p)
		for i := range v.NumField() {
			if f := v.Field(i); f.Kind() == reflect.String {
				s := f.String()
				if len(s) > 2*maxText || !utf8.ValidString(s) || strings.ContainsAny(s, "\r\n\x00\x1b") {
					t.Fatalf("%s is not clean: %q", v.Type().Field(i).Name, s)
				}
			}
		}
		if n := len(p.Title); n > maxName {
			t.Fatalf("title of %d bytes", n)
		}
	})
}

func TestTextSaysWhatAPersonMustKnow(t *testing.T) {
	t.Parallel()
	first := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	p := Problem{Rule: DeadLetter, Link: "invoices", System: "accounting", Operation: "create", Class: dovetail.Invalid, Code: "400", Field: "vat_id",
		Why: "VAT ID is malformed", Sample: "store:o-1001", Waiting: 3, Oldest: 65 * time.Second}.filled(first)
	n := Notification{State: Firing, Problem: p, Fingerprint: p.Fingerprint(), First: first, Last: first.Add(time.Minute), Count: 4, Generation: 1}
	require.Equal(t, `WARNING: invoices, accounting, create: messages were given up
What: dead-letter, invalid, code 400, field vat_id
Record: store:o-1001
Since: 2026-03-01 09:00:00 UTC
Why: VAT ID is malformed
So far: 4 failures, 3 waiting, the oldest for 1m5s
Do: Read why, correct the record or the handler, then replay the dead letters of this cause.
Problem: `+p.Fingerprint()+"\n", n.Text())

	n.State, n.Ended, n.Peak, n.Note = Resolved, first.Add(22*time.Minute), 312, "replayed"
	require.Contains(t, n.Text(), "RESOLVED: invoices, accounting, create: messages were given up\nLasted: 22m, 4 failures, 312 caught up\nNote: replayed\n")
	require.NotContains(t, n.Text(), "Do:")
}

func TestDurationsReadAsPeopleSayThem(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0s", 1500 * time.Microsecond: "2ms", 3 * time.Second: "3s", 22 * time.Minute: "22m", 65 * time.Second: "1m5s",
		time.Hour: "1h", 65*time.Minute + time.Second: "1h5m", 48 * time.Hour: "48h",
	} {
		require.Equal(t, want, round(d))
	}
}
