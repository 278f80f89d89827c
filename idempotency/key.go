package idempotency

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// ErrInvalidKey is returned for a Key without Scope or ID, or with a part that is
// not valid UTF-8, holds a NUL or is longer than 1,024 bytes, or with more than
// 2,048 bytes in all. An empty ID is never a wildcard: it would make every record
// the same one.
var ErrInvalidKey = errors.New("idempotency: invalid key")

// A Key names one write for ever. The zero value is refused with ErrInvalidKey. A
// Key is comparable and can be used as a map key.
type Key struct {
	// Scope keeps apart the IDs of different tenants, directions and kinds:
	// "acme/store>accounting/invoice". Required.
	Scope string
	// ID is the source's own, immutable ID of the record or operation. Required.
	ID string
	// Op tells several writes about one ID apart: "refund-77". Optional.
	Op string
}

// Bounds of each part of a key and of all together, in bytes: what an index of any
// of the databases takes.
const (
	maxPart = 1024
	maxKey  = 2048
)

// uuidSpace sets our hashes apart from all others. It never changes: the keys
// that systems remember depend on it.
const uuidSpace = "dovetail/idempotency/v1"

// UUID returns the key as a UUID (version 8, from SHA-256 over the parts with
// their lengths), which most APIs take as idempotency key. It is the same after a
// crash, a re-run and the loss of the ledger. It returns "" for a key that is
// refused.
func (k Key) UUID() string {
	if k.check() != nil {
		return ""
	}
	h := sha256.New()
	var n [8]byte
	for _, part := range [...]string{uuidSpace, k.Scope, k.ID, k.Op} {
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		_, _ = h.Write(n[:]) // a hash never fails
		_, _ = h.Write([]byte(part))
	}
	var sum [sha256.Size]byte
	u := h.Sum(sum[:0])[:16]
	u[6] = u[6]&0x0f | 0x80 // version 8
	u[8] = u[8]&0x3f | 0x80 // the variant of RFC 9562
	x := hex.EncodeToString(u)
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}

// Compare orders keys by Scope, ID and Op.
func (k Key) Compare(other Key) int {
	return cmp.Or(strings.Compare(k.Scope, other.Scope), strings.Compare(k.ID, other.ID), strings.Compare(k.Op, other.Op))
}

// String returns "scope/id" or "scope/id#op", for messages. It is not unique.
func (k Key) String() string {
	s := k.Scope + "/" + k.ID
	if k.Op != "" {
		s += "#" + k.Op
	}
	return s
}

func (k Key) check() error {
	switch {
	case k.Scope == "":
		return fmt.Errorf("%w: Scope is empty; say which system, direction and kind the ID belongs to", ErrInvalidKey)
	case k.ID == "":
		return fmt.Errorf("%w: ID is empty in scope %q; pass the source's own ID", ErrInvalidKey, k.Scope)
	}
	for _, p := range [...]struct{ name, text string }{{"Scope", k.Scope}, {"ID", k.ID}, {"Op", k.Op}} {
		if len(p.text) > maxPart || !plain(p.text) {
			return fmt.Errorf("%w: %s: want valid UTF-8 without NUL of at most %d bytes", ErrInvalidKey, p.name, maxPart)
		}
	}
	if len(k.Scope)+len(k.ID)+len(k.Op) > maxKey {
		return fmt.Errorf("%w: Scope, ID and Op have more than %d bytes in all", ErrInvalidKey, maxKey)
	}
	return nil
}
