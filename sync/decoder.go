package sync

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/tectari/dovetail"
)

// decoder reads the body of a row. After the first fault it returns zeros, so
// that callers check err once; it never panics, whatever the bytes.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(why string) {
	if d.err == nil {
		d.err = errors.New(why)
	}
	d.b = nil
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail("it ends early")
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) uvarint() uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.fail("a number is malformed")
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) varint() int64 {
	n, size := binary.Varint(d.b)
	if size <= 0 {
		d.fail("a number is malformed")
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) uint32() uint32 {
	n := d.uvarint()
	if n > math.MaxUint32 {
		d.fail("a number is too large")
		return 0
	}
	return uint32(n)
}

// count reads how many parts follow; no part is smaller than a byte.
func (d *decoder) count() int {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.fail("a count is larger than what is left")
		return 0
	}
	return int(n) // #nosec G115 -- at most len(d.b)
}

func (d *decoder) text() string { return string(d.bytes()) }

// bytes are a text as it is stored, for comparing it without a copy.
func (d *decoder) bytes() []byte {
	n := d.count()
	s := d.b[:n]
	d.b = d.b[n:]
	return s
}

func (d *decoder) value() dovetail.Value {
	text := d.text()
	if d.err != nil {
		return dovetail.Value{}
	}
	v, err := dovetail.ParseValue(text)
	if err != nil {
		d.fail("a value is malformed")
	}
	return v
}

func (d *decoder) time() time.Time {
	n := d.varint()
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
