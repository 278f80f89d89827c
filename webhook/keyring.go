package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"sync"
)

// A signature is an HMAC-SHA256.
type signature [sha256.Size]byte

// A keyring is the secrets of a verifier. What a secret needs to sign with is kept, so
// that to verify costs little more than to hash the body.
type keyring []*secret

type secret struct {
	text []byte
	macs sync.Pool // of *mac
}

// A mac is what one computation needs.
type mac struct {
	hash.Hash
	head []byte
	sum  signature
}

// keysOf returns the secrets as a keyring.
func keysOf(secrets [][]byte) keyring {
	keys := make(keyring, len(secrets))
	for i, text := range secrets {
		s := &secret{text: text}
		s.macs.New = func() any { return &mac{Hash: hmac.New(sha256.New, s.text)} }
		keys[i] = s
	}
	return keys
}

// bytes returns the secrets.
func (k keyring) bytes() [][]byte {
	out := make([][]byte, len(k))
	for i, s := range k {
		out[i] = s.text
	}
	return out
}

// A signed is what a scheme signs: some texts, the body, and a text behind it.
type signed struct {
	head [4]string
	body []byte
	tail string
}

// sign returns the signature of x.
func (s *secret) sign(x *signed) signature {
	m, _ := s.macs.Get().(*mac) // nothing else is in the pool
	defer s.macs.Put(m)
	m.Reset()
	m.head = m.head[:0]
	for _, text := range x.head {
		m.head = append(m.head, text...)
	}
	_, _ = m.Write(m.head) // a hash never fails
	_, _ = m.Write(x.body)
	m.head = append(m.head[:0], x.tail...)
	_, _ = m.Write(m.head)
	m.Sum(m.sum[:0])
	return m.sum
}

// matches reports whether any signature is that of any secret. It tries all of them,
// whatever the result, so that the time tells nothing.
func (k keyring) matches(signatures []signature, x *signed) bool {
	found := false
	for _, s := range k {
		want := s.sign(x)
		for i := range signatures {
			if hmac.Equal(signatures[i][:], want[:]) {
				found = true
			}
		}
	}
	return found
}

// strict64 refuses what another text would mean as well.
var strict64 = base64.StdEncoding.Strict()

// read reads a signature as it is written.
func (e Encoding) read(text string) (s signature, err error) {
	var src, dst [2 * sha256.Size]byte
	if len(text) > len(src) {
		return s, unverified("signature of the wrong length")
	}
	copy(src[:], text)
	var n int
	if e == Base64 {
		n, err = strict64.Decode(dst[:], src[:len(text)])
	} else {
		n, err = hex.Decode(dst[:], src[:len(text)])
	}
	if err != nil || n != len(s) {
		return s, unverified("signature is not what its scheme writes")
	}
	copy(s[:], dst[:])
	return s, nil
}
