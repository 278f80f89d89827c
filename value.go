package dovetail

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Kind says what a Value holds.
type Kind uint8

// The kinds of values.
const (
	// KindAbsent: the system said nothing about the field.
	KindAbsent Kind = iota
	// KindNull: the system says that the field is empty.
	KindNull
	KindBool
	KindInt
	// KindDecimal: an exact decimal number; money is always one.
	KindDecimal
	KindString
	// KindTime: an instant, in UTC, to the nanosecond.
	KindTime
	// KindRaw: a composite in its canonical encoding, compared as a whole.
	KindRaw
)

var kindNames = [...]string{"absent", "null", "bool", "int", "decimal", "string", "time", "raw"}

// String returns the name of the kind in lower case.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind(" + strconv.Itoa(int(k)) + ")"
}

// A Value is one field's content. It is 32 bytes, immutable and comparable: two
// values are equal exactly when == says so, because each content has one
// representation (1.50 and 1.5 are the same decimal). The zero value is absent:
// it says nothing, while Null says that the field is empty. There is no float:
// money that passed through a float is no longer money.
type Value struct {
	kind  Kind
	scale uint8  // of a decimal: digits after the point
	nanos uint32 // of a time
	n     int64  // bool, int, decimal coefficient, Unix seconds
	s     string // string, raw, or the whole text of a decimal beyond 18 digits
}

// Null is the value of a field that is known to be empty.
func Null() Value { return Value{kind: KindNull} }

// Bool returns the value of b.
func Bool(b bool) Value {
	v := Value{kind: KindBool}
	if b {
		v.n = 1
	}
	return v
}

// Int returns the value of n.
func Int(n int64) Value { return Value{kind: KindInt, n: n} }

// String returns the value of s, unchanged: no trimming, no folding.
func String(s string) Value { return Value{kind: KindString, s: s} }

// Raw returns a composite value from its canonical encoding. Two raws are equal
// when their bytes are.
func Raw(canonical string) Value { return Value{kind: KindRaw, s: canonical} }

// Time returns the value of t, in UTC, without its monotonic reading.
func Time(t time.Time) Value {
	return Value{kind: KindTime, n: t.Unix(), nanos: uint32(t.Nanosecond())} // #nosec G115 -- 0..999999999
}

// Kind returns what v holds.
func (v Value) Kind() Kind { return v.kind }

// IsAbsent reports whether v says nothing.
func (v Value) IsAbsent() bool { return v.kind == KindAbsent }

// IsNull reports whether v says that the field is empty.
func (v Value) IsNull() bool { return v.kind == KindNull }

// IsEmpty reports whether v is absent, null or the empty string.
func (v Value) IsEmpty() bool {
	return v.kind <= KindNull || (v.kind == KindString && v.s == "")
}

// Bool returns the content of a bool, and false for any other kind.
func (v Value) Bool() bool { return v.kind == KindBool && v.n == 1 }

// Int returns the content of an int, and 0 and false for any other kind.
func (v Value) Int() (int64, bool) {
	if v.kind != KindInt {
		return 0, false
	}
	return v.n, true
}

// Time returns the content of a time in UTC, and false for any other kind.
func (v Value) Time() (time.Time, bool) {
	if v.kind != KindTime {
		return time.Time{}, false
	}
	return time.Unix(v.n, int64(v.nanos)).UTC(), true
}

// Scaled returns a decimal (or int) as a whole number of 10^-scale, and false
// when it is another kind, has more digits after the point, or does not fit: a
// total of 12.5 at scale 2 is 1250.
func (v Value) Scaled(scale uint8) (int64, bool) {
	if v.kind != KindInt && v.kind != KindDecimal {
		return 0, false
	}
	if v.s != "" {
		whole, frac, _ := strings.Cut(v.s, ".")
		if len(frac) > int(scale) {
			return 0, false
		}
		n, err := strconv.ParseInt(whole+frac+strings.Repeat("0", int(scale)-len(frac)), 10, 64)
		if err != nil {
			return 0, false
		}
		return n, true
	}
	if v.scale > scale {
		return 0, false
	}
	n := v.n
	for range int(scale - v.scale) {
		if n > math.MaxInt64/10 || n < math.MinInt64/10 {
			return 0, false
		}
		n *= 10
	}
	return n, true
}

// Text returns the content as text: a string or raw as it is, a number in plain
// notation, a time in RFC 3339, true or false, and "" for absent and null.
func (v Value) Text() string {
	switch v.kind {
	case KindBool:
		return strconv.FormatBool(v.n == 1)
	case KindInt:
		return strconv.FormatInt(v.n, 10)
	case KindDecimal:
		if v.s != "" {
			return v.s
		}
		return shift(strconv.FormatInt(v.n, 10), int(v.scale))
	case KindString, KindRaw:
		return v.s
	case KindTime:
		return time.Unix(v.n, int64(v.nanos)).UTC().Format(time.RFC3339Nano)
	default:
		return ""
	}
}

// String describes v for a person: its kind only. Values of records are private
// and do not reach a log because somebody printed a struct; Text gives the
// content to code that asks.
func (v Value) String() string { return v.kind.String() }

// GoString hides the content as String does.
func (v Value) GoString() string { return "dovetail.Value(" + v.kind.String() + ")" }

// Format hides the content from every verb of package fmt: %d would otherwise
// print the struct's inside.
func (v Value) Format(f fmt.State, verb rune) {
	text := v.String()
	if verb == 'v' && f.Flag('#') {
		text = v.GoString()
	}
	// A write to a fmt.State cannot fail in a way that anybody could act on.
	_, _ = io.WriteString(f, text)
}

// ErrMalformedValue is returned by ParseValue for bytes that AppendText did not
// write.
var ErrMalformedValue = errors.New("dovetail: malformed value")

// kindTags are the first byte of the stored form.
const kindTags = "-0bidstr"

// AppendText appends the stored form of v: one byte for the kind and the text.
// An instant outside the years 0 to 9999, which RFC 3339 cannot say, is stored as
// its Unix seconds and nanoseconds.
func (v Value) AppendText(b []byte) []byte {
	b = append(b, kindTags[v.kind])
	switch {
	case v.kind == KindInt:
		return strconv.AppendInt(b, v.n, 10)
	case v.kind == KindTime && (v.n < firstSecond || v.n > lastSecond):
		b = append(b, '@')
		b = strconv.AppendInt(b, v.n, 10)
		b = append(b, '.')
		return strconv.AppendUint(b, uint64(v.nanos), 10)
	case v.kind == KindTime:
		return time.Unix(v.n, int64(v.nanos)).UTC().AppendFormat(b, time.RFC3339Nano)
	default:
		return append(b, v.Text()...)
	}
}

// The Unix seconds of the first and last instant that RFC 3339 can say.
const (
	firstSecond = -62167219200 // 0000-01-01T00:00:00Z
	lastSecond  = 253402300799 // 9999-12-31T23:59:59Z
)

// Encode returns the stored form of v; ParseValue reads it.
func (v Value) Encode() string { return string(v.AppendText(nil)) }

// ParseValue reads the form that AppendText and Encode write. It returns
// ErrMalformedValue for anything else, another notation of the same value
// included, and never panics. The error does not hold the text.
func ParseValue(stored string) (Value, error) {
	v, ok := parseValue(stored)
	if !ok {
		return Value{}, fmt.Errorf("%w: %d bytes", ErrMalformedValue, len(stored))
	}
	return v, nil
}

func parseValue(stored string) (Value, bool) {
	if stored == "" {
		return Value{}, false
	}
	text := stored[1:]
	var v Value
	switch stored[0] {
	case '-':
		return Value{}, text == ""
	case '0':
		return Null(), text == ""
	case 's':
		return String(text), true
	case 'r':
		return Raw(text), true
	case 'b':
		return Bool(text == "true"), text == "true" || text == "false"
	case 'i':
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return Value{}, false
		}
		v = Int(n)
	case 'd':
		d, err := Decimal(text)
		if err != nil {
			return Value{}, false
		}
		v = d
	case 't':
		t, ok := parseTime(text)
		if !ok {
			return Value{}, false
		}
		v = t
	default:
		return Value{}, false
	}
	var room [64]byte
	return v, string(v.AppendText(room[:0])) == stored
}

// parseTime reads the two forms in which AppendText writes an instant.
func parseTime(text string) (Value, bool) {
	far, ok := strings.CutPrefix(text, "@")
	if !ok {
		t, err := time.Parse(time.RFC3339Nano, text)
		return Time(t), err == nil
	}
	seconds, nanos, _ := strings.Cut(far, ".")
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return Value{}, false
	}
	ns, err := strconv.ParseUint(nanos, 10, 32)
	if err != nil || ns > 999_999_999 {
		return Value{}, false
	}
	return Value{kind: KindTime, n: n, nanos: uint32(ns)}, true // #nosec G115 -- checked
}

// Compare orders two values of one kind: -1, 0 or 1. Numbers compare by size,
// ints with decimals too; times by instant; texts by bytes. It returns false
// when the two cannot be ordered.
func Compare(a, b Value) (int, bool) {
	numeric := func(v Value) bool { return v.kind == KindInt || v.kind == KindDecimal }
	switch {
	case numeric(a) && numeric(b):
		return compareDecimal(a.Text(), b.Text()), true
	case a.kind != b.kind || a.kind <= KindNull:
		return 0, false
	case a.kind == KindTime || a.kind == KindBool:
		if a.n != b.n {
			return sign(a.n < b.n), true
		}
		if a.nanos != b.nanos {
			return sign(a.nanos < b.nanos), true
		}
		return 0, true
	default:
		return strings.Compare(a.s, b.s), true
	}
}

func sign(less bool) int {
	if less {
		return -1
	}
	return 1
}
