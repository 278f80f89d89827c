package idempotency

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// A Fingerprint tells two payloads apart: SHA-256 over the canonical form of
// their JSON. The order of members and white space do not count; numbers are
// compared exactly, whatever their size (9007199254740993 is not
// 9007199254740992, 1.50 is 1.5); strings are not touched.
type Fingerprint [sha256.Size]byte

// ErrPayload is returned for a payload that has no canonical form: not JSON, a
// name twice in one object, a string that is not Unicode, more than 1,000 levels.
// The error does not hold the payload.
var ErrPayload = errors.New("idempotency: payload has no canonical form")

// maxDepth bounds the levels of a payload: hostile input costs an error.
const maxDepth = 1000

// encode returns the JSON of v and its fingerprint.
func encode(v any) ([]byte, Fingerprint, error) {
	data, err := json.Marshal(v)
	if err != nil {
		// The error's text may hold a value; its type is enough.
		return nil, Fingerprint{}, fmt.Errorf("%w: encode %T: %T", ErrPayload, v, err)
	}
	fp, err := fingerprint(data)
	return data, fp, err
}

// fingerprint returns the fingerprint of a JSON text.
func fingerprint(data []byte) (Fingerprint, error) {
	form, err := canonical(data)
	if err != nil {
		return Fingerprint{}, err
	}
	return sha256.Sum256(form), nil
}

// canonical returns a form of a JSON text that two texts share exactly when they
// say the same. It is not JSON: strings carry their length instead of escapes.
func canonical(data []byte) ([]byte, error) {
	c := &canon{in: data, out: make([]byte, 0, len(data)+len(data)/8+16)}
	c.space()
	if err := c.value(0); err != nil {
		return nil, err
	}
	c.space()
	if c.pos != len(c.in) {
		return nil, c.fault("more than one value")
	}
	return c.out, nil
}

// canon reads in and writes out.
type canon struct {
	in      []byte
	pos     int
	out     []byte
	members []member
	scratch []byte
}

// A member of an object is out[start:end]; its name is out[name:value].
type member struct{ start, value, end int }

func (c *canon) fault(what string) error {
	return fmt.Errorf("%w: %s at byte %d", ErrPayload, what, c.pos)
}

func (c *canon) space() {
	for c.pos < len(c.in) {
		switch c.in[c.pos] {
		case ' ', '\t', '\n', '\r':
			c.pos++
		default:
			return
		}
	}
}

// peek returns the next byte, or 0 at the end, which no JSON token begins with.
func (c *canon) peek() byte {
	if c.pos < len(c.in) {
		return c.in[c.pos]
	}
	return 0
}

func (c *canon) value(depth int) error {
	if depth > maxDepth {
		return c.fault("nested too deep")
	}
	switch b := c.peek(); {
	case b == '{':
		return c.object(depth)
	case b == '[':
		return c.array(depth)
	case b == '"':
		return c.text()
	case b == '-' || (b >= '0' && b <= '9'):
		return c.number()
	case b == 't':
		return c.word("true")
	case b == 'f':
		return c.word("false")
	case b == 'n':
		return c.word("null")
	default:
		return c.fault("no value")
	}
}

func (c *canon) word(w string) error {
	if !bytes.HasPrefix(c.in[c.pos:], []byte(w)) {
		return c.fault("no value")
	}
	c.pos += len(w)
	c.out = append(c.out, w[0])
	return nil
}

func (c *canon) array(depth int) error {
	c.pos++
	c.out = append(c.out, '[')
	c.space()
	if c.peek() == ']' {
		c.pos++
		c.out = append(c.out, ']')
		return nil
	}
	for {
		c.space()
		if err := c.value(depth + 1); err != nil {
			return err
		}
		c.space()
		switch c.peek() {
		case ',':
			c.pos++
		case ']':
			c.pos++
			c.out = append(c.out, ']')
			return nil
		default:
			return c.fault("array without end")
		}
	}
}

func (c *canon) object(depth int) error {
	c.pos++
	c.out = append(c.out, '{')
	first, start := len(c.members), len(c.out)
	c.space()
	if c.peek() == '}' {
		c.pos++
		c.out = append(c.out, '}')
		return nil
	}
	for {
		if err := c.member(depth); err != nil {
			return err
		}
		switch c.peek() {
		case ',':
			c.pos++
		case '}':
			c.pos++
			if err := c.sort(c.members[first:], start); err != nil {
				return err
			}
			c.members = c.members[:first]
			c.out = append(c.out, '}')
			return nil
		default:
			return c.fault("object without end")
		}
	}
}

func (c *canon) member(depth int) error {
	c.space()
	m := member{start: len(c.out)}
	if c.peek() != '"' {
		return c.fault("no name")
	}
	if err := c.text(); err != nil {
		return err
	}
	m.value = len(c.out)
	c.space()
	if c.peek() != ':' {
		return c.fault("no value")
	}
	c.pos++
	c.space()
	if err := c.value(depth + 1); err != nil {
		return err
	}
	m.end = len(c.out)
	c.members = append(c.members, m)
	c.space()
	return nil
}

// sort brings the members, which begin at out[start], into the order of their
// names and refuses a name that comes twice.
func (c *canon) sort(members []member, start int) error {
	byName := func(a, b member) int { return bytes.Compare(c.out[a.start:a.value], c.out[b.start:b.value]) }
	sorted := slices.IsSortedFunc(members, byName)
	if !sorted {
		slices.SortFunc(members, byName)
	}
	for i := 1; i < len(members); i++ {
		if byName(members[i-1], members[i]) == 0 {
			return c.fault("a name twice in the object that ends")
		}
	}
	if sorted {
		return nil
	}
	c.scratch = append(c.scratch[:0], c.out[start:]...)
	at := start
	for _, m := range members {
		at += copy(c.out[at:], c.scratch[m.start-start:m.end-start])
	}
	return nil
}

// text writes a string as its length and its bytes.
func (c *canon) text() error {
	c.pos++
	start := c.pos
	for i := start; i < len(c.in); i++ {
		switch b := c.in[i]; {
		case b == '"':
			if !utf8.Valid(c.in[start:i]) {
				return c.fault("not UTF-8")
			}
			c.pos = i + 1
			c.write(c.in[start:i])
			return nil
		case b == '\\':
			return c.escaped(start, i)
		case b < 0x20:
			return c.fault("control character in a string")
		}
	}
	return c.fault("string without end")
}

func (c *canon) write(s []byte) {
	c.out = append(c.out, '"')
	c.out = strconv.AppendInt(c.out, int64(len(s)), 10)
	c.out = append(c.out, ':')
	c.out = append(c.out, s...)
}

// escaped reads a string that has its first escape at i.
func (c *canon) escaped(start, i int) error {
	s := append([]byte(nil), c.in[start:i]...)
	for i < len(c.in) {
		switch b := c.in[i]; {
		case b == '"':
			c.pos = i + 1
			if !utf8.Valid(s) {
				return c.fault("not UTF-8")
			}
			c.write(s)
			return nil
		case b < 0x20:
			return c.fault("control character in a string")
		case b != '\\':
			s = append(s, b)
			i++
		default:
			r, n := unescape(c.in[i:])
			if n == 0 {
				return c.fault("bad escape")
			}
			s = utf8.AppendRune(s, r)
			i += n
		}
	}
	return c.fault("string without end")
}

// unescape reads one escape (two for a surrogate pair) and returns how many bytes
// it took, 0 if it is none.
func unescape(in []byte) (rune, int) {
	if len(in) < 2 {
		return 0, 0
	}
	const from, to = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	if i := bytes.IndexByte([]byte(from), in[1]); i >= 0 {
		return rune(to[i]), 2
	}
	r, ok := hex4(in)
	switch {
	case !ok:
		return 0, 0
	case !utf16.IsSurrogate(r):
		return r, 6
	}
	low, ok := hex4(in[6:])
	if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
		return 0, 0
	}
	return r, 12
}

func hex4(in []byte) (rune, bool) {
	if len(in) < 6 || in[0] != '\\' || in[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, b := range in[2:6] {
		switch {
		case b >= '0' && b <= '9':
			r = r<<4 | rune(b-'0')
		case b >= 'a' && b <= 'f':
			r = r<<4 | rune(b-'a'+10)
		case b >= 'A' && b <= 'F':
			r = r<<4 | rune(b-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}
