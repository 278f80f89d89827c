package natssink

import (
	"math"
	"strings"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/outbox"
)

// message returns m as NATS carries it, or why it cannot.
func (s *Sink) message(m outbox.Message) (*nats.Msg, error) {
	subject := s.config.Subject(m)
	if !isSubject(subject) {
		return nil, s.fail(dovetail.Invalid, "subject", "message %s: %q is not a subject; want words with dots between them, without spaces, * and >, from Config.Subject or Message.Topic", m.ID, subject)
	}
	if !carried(m.ID) {
		return nil, s.fail(dovetail.Invalid, "id", "message %q: a header cannot carry this ID unchanged", m.ID)
	}
	msg := &nats.Msg{Subject: subject, Data: m.Payload, Header: make(nats.Header, len(m.Headers)+2)}
	size := 0
	for name, value := range m.Headers {
		switch {
		case !isName(name) || !carried(value):
			return nil, s.fail(dovetail.Invalid, "header", "message %s: NATS cannot carry header %q unchanged; a name is letters, digits and -_. and a value one line without spaces around it", m.ID, name)
		case len(name) >= 5 && strings.EqualFold(name[:5], "Nats-") && (!s.config.AllowServerHeaders || strings.EqualFold(name, jetstream.MsgIDHeader)):
			return nil, s.fail(dovetail.Invalid, "header", "message %s: the server would act on header %q; name it otherwise, or set Config.AllowServerHeaders", m.ID, name)
		}
		msg.Header[name] = []string{value}
		size += len(name) + len(value) + len(": \r\n")
	}
	// The server answers such a message as it does a full stream, which would
	// have the whole destination wait for it.
	if size > math.MaxUint16-2048 {
		return nil, s.fail(dovetail.Invalid, "header", "message %s: %d bytes of headers; NATS takes 64 KiB with its own", m.ID, size)
	}
	msg.Header[jetstream.MsgIDHeader] = []string{m.ID}
	return msg, nil
}

// isSubject reports whether a message can be published to s.
func isSubject(s string) bool {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return false
	}
	for word := range strings.SplitSeq(s, ".") {
		if word == "" || word == "*" || word == ">" {
			return false
		}
	}
	return true
}

// isName reports whether s is a header's name for every client of NATS.
func isName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// carried reports whether a header's value arrives as it is: NATS cuts the spaces
// around it and breaks it at the end of a line.
func carried(s string) bool {
	return s == strings.Trim(s, " \t") && !strings.ContainsAny(s, "\r\n\x00") && utf8.ValidString(s)
}
