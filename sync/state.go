package sync

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/tectari/dovetail"
)

// The body of a row is a small binary form, some ten times quicker to read than
// JSON; Explain and Parked show it to people. Fields and systems go by name, so
// that a plan may gain or lose them; a shadow keeps only what differs from the
// canonical value.
const stateFormat = 1

// ErrMalformedState is returned for a stored record that cannot be read.
var ErrMalformedState = errors.New("sync: stored record cannot be read")

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendValue(b []byte, v dovetail.Value) []byte {
	var buf [64]byte
	text := v.AppendText(buf[:0])
	b = binary.AppendUvarint(b, uint64(len(text)))
	return append(b, text...)
}

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.AppendVarint(b, 0)
	}
	return binary.AppendVarint(b, t.UnixNano())
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// marshal returns the body of the record.
func (u *rules) marshal(r *record) []byte {
	b := make([]byte, 0, 64+48*len(u.fields)+64*len(u.systems))
	b = append(b, stateFormat)
	b = appendText(b, r.parked)
	b = binary.AppendUvarint(b, uint64(len(u.fields)))
	for f, name := range u.fields {
		b = appendText(b, name)
		b = appendValue(b, r.values[f])
		b = binary.AppendUvarint(b, uint64(r.revs[f]))
		b = appendText(b, string(u.nameOf(r.from[f].system)))
		b = appendTime(b, r.from[f].at)
		b = appendText(b, r.from[f].by)
		var h hold
		if r.isHeld(f) {
			h = r.held[f]
		}
		b = appendText(b, h.why)
		if h.why != "" {
			b = appendText(b, string(u.nameOf(h.system)))
		}
	}
	b = binary.AppendUvarint(b, uint64(len(u.systems)))
	for s := range r.shadow {
		b = appendText(b, string(u.systems[s]))
		b = appendShadow(b, r, &r.shadow[s])
	}
	b = binary.AppendUvarint(b, uint64(len(r.waits)))
	for _, w := range r.waits {
		b = appendText(b, w.link)
		b = appendText(b, w.key)
		b = appendText(b, string(u.systems[w.system]))
	}
	return b
}

// A field of a shadow is stored where one of these says so.
const (
	hasAck = 1 << iota
	hasRev
	hasPend
	hasRefused
)

func appendShadow(b []byte, r *record, sh *shadow) []byte {
	b = append(b, byte(sh.status))
	b = appendText(b, sh.id)
	b = appendText(b, sh.version)
	b = binary.AppendUvarint(b, uint64(sh.gen))
	b = binary.AppendVarint(b, sh.touch)
	b = appendBool(b, sh.unsure)
	b = appendTime(b, sh.at)
	b = appendText(b, sh.by)
	b = binary.AppendUvarint(b, uint64(len(sh.aliases)))
	for _, a := range sh.aliases {
		b = appendText(b, a)
	}
	b = binary.AppendUvarint(b, uint64(len(sh.ghosts)))
	for _, g := range sh.ghosts {
		b = binary.AppendUvarint(b, uint64(g.field)) // #nosec G115 -- an index
		b = appendValue(b, g.value)
		b = binary.AppendUvarint(b, uint64(g.rev))
		b = appendTime(b, g.until)
	}
	for f := range sh.ack {
		var bits byte
		if sh.ack[f] != r.values[f] {
			bits |= hasAck
		}
		if sh.rev[f] != r.revs[f] {
			bits |= hasRev
		}
		if sh.pendRev != nil && sh.pendRev[f] != 0 {
			bits |= hasPend
		}
		if sh.refused != nil && sh.refused[f] != 0 {
			bits |= hasRefused
		}
		b = append(b, bits)
		if bits&hasAck != 0 {
			b = appendValue(b, sh.ack[f])
		}
		if bits&hasRev != 0 {
			b = binary.AppendUvarint(b, uint64(sh.rev[f]))
		}
		if bits&hasPend != 0 {
			b = appendValue(b, sh.pend[f])
			b = binary.AppendUvarint(b, uint64(sh.pendRev[f]))
		}
		if bits&hasRefused != 0 {
			b = binary.AppendUvarint(b, uint64(sh.refused[f]))
		}
	}
	return b
}

// unmarshal reads a row. A field or system that the plan no longer has is left
// out; one that it has gained is unknown.
func (u *rules) unmarshal(row Row) (*record, error) {
	d := &decoder{b: row.Body}
	r := newRecord(row.Key, len(u.fields), len(u.systems))
	r.seq, r.exists = row.Seq, row.Exists
	if d.byte() != stateFormat {
		d.fail("unknown format")
	}
	r.parked = d.text()
	slots := u.readFields(d, r)
	for range d.count() {
		var none shadow
		sh := &none
		if s := u.systemAt(d.bytes()); s >= 0 {
			sh = &r.shadow[s]
		}
		readShadow(d, r, sh, slots)
	}
	for range d.count() {
		w := parent{link: d.text(), key: d.text()}
		if w.system = u.systemAt(d.bytes()); w.system >= 0 {
			r.waits = append(r.waits, w)
		}
	}
	if d.err == nil && len(d.b) > 0 {
		d.fail("bytes are left over")
	}
	if d.err != nil {
		return nil, fmt.Errorf("%w: %s/%s: %w", ErrMalformedState, row.Link, row.Key, d.err)
	}
	return r, nil
}

// storedSlot is a field as the row has it: its slot in the plan, -1 when the
// plan no longer has it, and what a shadow that says nothing means.
type storedSlot struct {
	f     int
	value dovetail.Value
	rev   uint32
}

func (u *rules) readFields(d *decoder, r *record) []storedSlot {
	n := d.count()
	slots := make([]storedSlot, 0, n)
	for i := range n {
		name := d.bytes()
		slot := storedSlot{f: u.fieldAt(name, i), value: d.value(), rev: d.uint32()}
		from := origin{system: u.systemAt(d.bytes()), at: d.time(), by: d.text()}
		h := hold{why: d.text()}
		if h.why != "" {
			h.system = u.systemAt(d.bytes())
		}
		slots = append(slots, slot)
		if d.err != nil || slot.f < 0 {
			continue
		}
		r.values[slot.f], r.revs[slot.f], r.from[slot.f] = slot.value, slot.rev, from
		if h.why != "" {
			r.holdField(slot.f, h)
		}
	}
	return slots
}

// fieldAt finds a field by name; most often it is where it was.
func (u *rules) fieldAt(name []byte, guess int) int {
	if guess < len(u.fields) && u.fields[guess] == string(name) {
		return guess
	}
	for f, x := range u.fields {
		if x == string(name) {
			return f
		}
	}
	return -1
}

// systemAt finds a system by name; -1: the plan has none of it.
func (u *rules) systemAt(name []byte) int {
	for s, x := range u.systems {
		if string(x) == string(name) {
			return s
		}
	}
	return -1
}

func readShadow(d *decoder, r *record, sh *shadow, slots []storedSlot) {
	sh.status = status(d.byte())
	sh.id, sh.version = d.text(), d.text()
	sh.gen, sh.touch, sh.unsure = d.uint32(), d.varint(), d.byte() == 1
	sh.at, sh.by = d.time(), d.text()
	for range d.count() {
		sh.aliases = append(sh.aliases, d.text())
	}
	for range d.count() {
		at, g := d.uvarint(), ghost{value: d.value(), rev: d.uint32(), until: d.time()}
		if at < uint64(len(slots)) && slots[at].f >= 0 {
			g.field = slots[at].f
			sh.ghosts = append(sh.ghosts, g)
		}
	}
	for _, slot := range slots {
		ack, rev, bits := slot.value, slot.rev, d.byte()
		var pend dovetail.Value
		var pendRev, refused uint32
		if bits&hasAck != 0 {
			ack = d.value()
		}
		if bits&hasRev != 0 {
			rev = d.uint32()
		}
		if bits&hasPend != 0 {
			pend, pendRev = d.value(), d.uint32()
		}
		if bits&hasRefused != 0 {
			refused = d.uint32()
		}
		if d.err != nil || slot.f < 0 || sh.ack == nil {
			continue
		}
		sh.ack[slot.f], sh.rev[slot.f] = ack, rev
		if pendRev != 0 {
			if sh.pendRev == nil {
				sh.pend, sh.pendRev = make([]dovetail.Value, len(r.values)), make([]uint32, len(r.values))
			}
			sh.pend[slot.f], sh.pendRev[slot.f] = pend, pendRev
		}
		if refused != 0 {
			sh.refuse(slot.f, refused)
		}
	}
}

// refuse notes that the system called this revision of a field invalid.
func (s *shadow) refuse(f int, rev uint32) {
	if s.refused == nil {
		s.refused = make([]uint32, len(s.ack))
	}
	s.refused[f] = rev
}

// digest is a 64-bit hash of what a system shows, to recognise an unchanged
// record without loading it. It compares a record with its own last showing
// only, so 64 bits are enough. FNV-1a: the same in every process.
func digest(values []dovetail.Value) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	var buf [64]byte
	for f, v := range values {
		if v.IsAbsent() {
			continue
		}
		b := v.AppendText(append(buf[:0], byte(f), byte(f>>8)))
		for _, c := range b {
			h = (h ^ uint64(c)) * prime
		}
		h = (h ^ uint64(len(b))) * prime // two fields never run together
	}
	return h
}
