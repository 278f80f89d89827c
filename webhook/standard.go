package webhook

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tectari/dovetail"
)

// The headers of the Standard Webhooks specification.
const (
	standardID        = "Webhook-Id"
	standardTime      = "Webhook-Timestamp"
	standardSignature = "Webhook-Signature"
)

// What stands before the base64 of a Standard Webhooks secret, of a public key, and of
// a private one.
const (
	secretPrefix  = "whsec_" // #nosec G101 -- not a secret
	publicPrefix  = "whpk_"
	privatePrefix = "whsk_"
)

// Standard returns the verifier of Standard Webhooks, versions v1 (HMAC-SHA256) and
// v1a (ed25519). A key is as the sender shows it: the secret of v1 in base64, with or
// without "whsec_" before it, or the public key of v1a with "whpk_". Any of the keys,
// and any of a request's signatures, will do; a signature counts only under a key of
// its own version. Source: github.com/standard-webhooks/standard-webhooks, spec.
func Standard(keys ...string) Verifier {
	v := &standardVerifier{}
	var secrets [][]byte
	for _, k := range keys {
		if text, ok := strings.CutPrefix(k, publicPrefix); ok {
			v.publics = append(v.publics, publicKey(text))
		} else {
			secrets = append(secrets, standardKey(k))
		}
	}
	v.keys = keysOf(secrets)
	return v
}

// publicKey returns the bytes of a public key, nil if it is none.
func publicKey(text string) ed25519.PublicKey {
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil
	}
	return key
}

// standardKey returns the bytes of a secret, nil if it is not base64.
func standardKey(secret string) []byte {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, secretPrefix))
	if err != nil {
		return nil
	}
	return key
}

type standardVerifier struct {
	keys    keyring
	publics []ed25519.PublicKey
	ready   sync.Once
	fault   error
}

// Check returns dovetail.Faults with what is wrong with the keys.
func (v *standardVerifier) Check() error {
	v.ready.Do(func() { v.fault = v.check() })
	return v.fault
}

func (v *standardVerifier) check() error {
	faults := dovetail.Faults{Package: "webhook"}
	for i, k := range v.publics {
		if k == nil {
			faults.Add("WHK106", fmt.Sprintf("Standard, public key %d", i+1), "not 32 bytes in base64", "pass it as the sender shows it, whpk_ included")
		}
	}
	if err := faults.Err(); err != nil {
		return err
	}
	if len(v.publics) > 0 && len(v.keys) == 0 {
		return nil
	}
	return checkSecrets("Standard", v.keys.bytes())
}

// Verify checks the request; see Verifier.
func (v *standardVerifier) Verify(h http.Header, body []byte, now time.Time) (Delivery, error) {
	if v.Check() != nil {
		return Delivery{}, unverified("the verifier is not configured")
	}
	id, err := only(h, standardID)
	if err != nil {
		return Delivery{}, err
	}
	at, err := only(h, standardTime)
	if err != nil {
		return Delivery{}, err
	}
	list, err := only(h, standardSignature)
	if err != nil {
		return Delivery{}, err
	}
	// ID, time and body are signed as one text with points between them. An ID that
	// ends in a point and digits could be an ID and a time of another delivery.
	if ambiguous(id) {
		return Delivery{}, unverified("ID ends like a timestamp")
	}
	when, err := signedAt(at, now)
	if err != nil {
		return Delivery{}, err
	}
	if !v.matches(list, &signed{head: [4]string{id, ".", at, "."}, body: body}) {
		return Delivery{}, unverified("no signature matches")
	}
	return Delivery{ID: id, Time: when}, nil
}

// matches reports whether any of the signatures in list, "v1,Ceo5…= v1a,hnO3…=", is
// that of a key of its version. What is of another version, or not what its version
// writes, is passed over.
func (v *standardVerifier) matches(list string, x *signed) bool {
	var room [maxSignatures]signature
	symmetric, good, asked := room[:0], false, 0
	for entry := range strings.FieldsSeq(list) {
		version, text, _ := strings.Cut(entry, ",")
		switch {
		case version == "v1" && len(symmetric) < maxSignatures:
			if sig, err := Base64.read(text); err == nil {
				symmetric = append(symmetric, sig)
			}
		case version == "v1a" && asked < maxSignatures:
			asked++
			good = v.signedByOne(text, x) || good
		}
	}
	return v.keys.matches(symmetric, x) || good
}

// signedByOne reports whether text is a signature of x by one of the public keys.
func (v *standardVerifier) signedByOne(text string, x *signed) bool {
	sig, err := strict64.DecodeString(text)
	if err != nil || len(sig) != ed25519.SignatureSize || len(v.publics) == 0 {
		return false
	}
	message := slices.Concat([]byte(strings.Join(x.head[:], "")), x.body)
	return slices.ContainsFunc(v.publics, func(key ed25519.PublicKey) bool { return ed25519.Verify(key, message, sig) })
}

// ambiguous reports whether an ID ends in a point and digits.
func ambiguous(id string) bool {
	i := strings.LastIndexByte(id, '.')
	return i >= 0 && strings.Trim(id[i+1:], "0123456789") == ""
}

// SignStandard returns the headers with which a Standard Webhooks sender signs a
// body, for fake systems in tests: with a secret as v1, with a private key of ed25519
// ("whsk_" and the base64 of its 64 bytes) as v1a. A key that is neither signs nothing
// that Standard accepts.
func SignStandard(key, id string, t time.Time, body []byte) http.Header {
	at := strconv.FormatInt(t.Unix(), 10)
	h := http.Header{}
	h.Set(standardID, id)
	h.Set(standardTime, at)
	version, sig := "v1", []byte(nil)
	if text, ok := strings.CutPrefix(key, privatePrefix); ok {
		version = "v1a"
		if private, err := base64.StdEncoding.DecodeString(text); err == nil && len(private) == ed25519.PrivateKeySize {
			sig = ed25519.Sign(private, slices.Concat([]byte(id+"."+at+"."), body))
		}
	} else {
		s := keysOf([][]byte{standardKey(key)})[0].sign(&signed{head: [4]string{id, ".", at, "."}, body: body})
		sig = s[:]
	}
	h.Set(standardSignature, version+","+base64.StdEncoding.EncodeToString(sig))
	return h
}
