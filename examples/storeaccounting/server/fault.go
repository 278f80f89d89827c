package server

import (
	"encoding/binary"
	"hash/fnv"
)

// Chance returns a number from 0 to 9,999 that depends on the seed and on what
// is asked, and on nothing else: the same call meets the same fate in every
// run, whatever came before it.
func Chance(seed uint64, what ...string) int {
	h := fnv.New64a()
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], seed)
	h.Write(b[:])
	for _, s := range what {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	x := h.Sum64()
	x ^= x >> 33 // FNV mixes its last bytes poorly
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return int(x % 10_000)
}
