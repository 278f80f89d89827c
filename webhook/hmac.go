package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/tectari/dovetail"
)

// An Encoding is how a signature is written.
type Encoding uint8

// The encodings. The zero Encoding is Hex.
const (
	Hex Encoding = iota
	Base64
)

// A HMACConfig describes a scheme that signs the raw body with HMAC-SHA256.
type HMACConfig struct {
	// Header holds the signature. Required.
	Header string
	// Prefix stands before the signature: "sha256=". Defaults to none.
	Prefix string
	// Encoding is how the signature is written. Defaults to Hex.
	Encoding Encoding
	// TimeHeader holds the time of signing in whole seconds since 1970. With it,
	// what is signed is the time, a point, and the body. Defaults to none: then a
	// recorded delivery can be sent again at any time, which only the queue's
	// memory of deliveries stops.
	TimeHeader string
}

// HMAC returns the verifier of a scheme that signs the raw body with HMAC-SHA256.
// Any of the secrets will do, so that a new one can be brought in before the old
// one ends. No ID is signed, so the hash of the body stands for the delivery: two
// with the same body are one.
func HMAC(c HMACConfig, secrets ...string) Verifier {
	return &hmacVerifier{name: "HMAC", config: c, secrets: bytesOf(secrets)}
}

// GitHub returns the verifier of GitHub's webhooks (X-Hub-Signature-256). GitHub
// signs the body alone, so the hash of the body stands for the delivery.
func GitHub(secrets ...string) Verifier {
	return &hmacVerifier{name: "GitHub", config: HMACConfig{Header: "X-Hub-Signature-256", Prefix: "sha256="}, secrets: bytesOf(secrets)}
}

// Shopify returns the verifier of Shopify's webhooks (X-Shopify-Hmac-Sha256); the
// secret is the app's client secret. Shopify signs the body alone, so the hash of
// the body stands for the delivery. Several topics may send the same body: give
// each topic a receiver with a Source of its own.
func Shopify(secrets ...string) Verifier {
	return &hmacVerifier{name: "Shopify", config: HMACConfig{Header: "X-Shopify-Hmac-Sha256", Encoding: Base64}, secrets: bytesOf(secrets)}
}

type hmacVerifier struct {
	name    string
	config  HMACConfig
	secrets [][]byte
}

// Check returns dovetail.Faults with what is wrong with the configuration.
func (v *hmacVerifier) Check() error {
	faults := dovetail.Faults{Package: "webhook"}
	if v.config.Header == "" {
		faults.Add("WHK104", "HMACConfig.Header", "required", `the header that holds the signature: "X-Signature"`)
	}
	if v.config.Encoding > Base64 {
		faults.Add("WHK105", "HMACConfig.Encoding", "neither Hex nor Base64", "webhook.Hex")
	}
	if err := faults.Err(); err != nil {
		return err
	}
	return checkSecrets(v.name, v.secrets)
}

// Verify checks the request; see Verifier.
func (v *hmacVerifier) Verify(h http.Header, body []byte, now time.Time) (Delivery, error) {
	if v.Check() != nil {
		return Delivery{}, unverified("the verifier is not configured")
	}
	text, err := only(h, v.config.Header)
	if err != nil {
		return Delivery{}, err
	}
	text, ok := strings.CutPrefix(text, v.config.Prefix)
	if !ok {
		return Delivery{}, unverified("signature without its prefix")
	}
	sig, err := v.config.Encoding.decode(text)
	if err != nil {
		return Delivery{}, err
	}
	var d Delivery
	signed := [][]byte{body}
	if v.config.TimeHeader != "" {
		at, err := only(h, v.config.TimeHeader)
		if err != nil {
			return Delivery{}, err
		}
		if d.Time, err = signedAt(at, now); err != nil {
			return Delivery{}, err
		}
		// What was signed is the header's own text, not the number printed again.
		signed = [][]byte{[]byte(at), []byte("."), body}
	}
	if !matches(v.secrets, [][]byte{sig}, signed...) {
		return Delivery{}, unverified("no signature matches")
	}
	return d, nil
}

// decode returns the bytes of a signature.
func (e Encoding) decode(text string) ([]byte, error) {
	if len(text) > 2*sha256.Size {
		return nil, unverified("signature of the wrong length")
	}
	var sig []byte
	var err error
	if e == Base64 {
		sig, err = base64.StdEncoding.Strict().DecodeString(text)
	} else {
		sig, err = hex.DecodeString(text)
	}
	if err != nil || len(sig) != sha256.Size {
		return nil, unverified("signature is not what its scheme writes")
	}
	return sig, nil
}

// sign returns the HMAC-SHA256 of the parts.
func sign(secret []byte, parts ...[]byte) []byte {
	mac := hmac.New(sha256.New, secret)
	for _, p := range parts {
		_, _ = mac.Write(p) // a hash never fails
	}
	return mac.Sum(nil)
}

// matches reports whether any signature is that of any secret. It tries all of
// them, whatever the result, so that the time tells nothing.
func matches(secrets, signatures [][]byte, parts ...[]byte) bool {
	found := false
	for _, secret := range secrets {
		want := sign(secret, parts...)
		for _, sig := range signatures {
			if hmac.Equal(sig, want) {
				found = true
			}
		}
	}
	return found
}
