package webhook

import (
	"net/http"
	"strings"
	"sync"
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
	return &hmacVerifier{name: "HMAC", config: c, keys: keysOf(bytesOf(secrets))}
}

// GitHub returns the verifier of GitHub's webhooks (X-Hub-Signature-256). GitHub
// signs the body alone, so the hash of the body stands for the delivery.
func GitHub(secrets ...string) Verifier {
	return &hmacVerifier{name: "GitHub", config: HMACConfig{Header: "X-Hub-Signature-256", Prefix: "sha256="}, keys: keysOf(bytesOf(secrets))}
}

// Shopify returns the verifier of Shopify's webhooks (X-Shopify-Hmac-Sha256); the
// secret is the app's client secret. Shopify signs the body alone, so the hash of
// the body stands for the delivery. Several topics may send the same body: give
// each topic a receiver with a Source of its own.
func Shopify(secrets ...string) Verifier {
	return &hmacVerifier{name: "Shopify", config: HMACConfig{Header: "X-Shopify-Hmac-Sha256", Encoding: Base64}, keys: keysOf(bytesOf(secrets))}
}

// Xero returns the verifier of Xero's webhooks (X-Xero-Signature); the secret is the
// webhook's signing key. What Xero sends to see whether we verify, its intent to
// receive, is answered by that alone: 200 for what it signed rightly, else 401. A
// delivery names what has changed and not how: read it from Xero. Source:
// developer.xero.com/documentation/webhooks/configuring-your-server.
func Xero(secrets ...string) Verifier {
	return &hmacVerifier{name: "Xero", config: HMACConfig{Header: "X-Xero-Signature", Encoding: Base64}, keys: keysOf(bytesOf(secrets))}
}

// Intuit returns the verifier of QuickBooks Online's webhooks (Intuit-Signature); the
// secret is the verifier token of the app's webhooks. A delivery names what has changed
// and not how: read it from QuickBooks. Source: developer.intuit.com, Managing webhooks
// notifications.
func Intuit(secrets ...string) Verifier {
	return &hmacVerifier{name: "Intuit", config: HMACConfig{Header: "Intuit-Signature", Encoding: Base64}, keys: keysOf(bytesOf(secrets))}
}

type hmacVerifier struct {
	name   string
	config HMACConfig
	keys   keyring
	ready  sync.Once
	fault  error
}

// Check returns dovetail.Faults with what is wrong with the configuration.
func (v *hmacVerifier) Check() error {
	v.ready.Do(func() { v.fault = v.check() })
	return v.fault
}

func (v *hmacVerifier) check() error {
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
	return checkSecrets(v.name, v.keys.bytes())
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
	sig, err := v.config.Encoding.read(text)
	if err != nil {
		return Delivery{}, err
	}
	var d Delivery
	x := signed{body: body}
	if v.config.TimeHeader != "" {
		at, err := only(h, v.config.TimeHeader)
		if err != nil {
			return Delivery{}, err
		}
		if d.Time, err = signedAt(at, now); err != nil {
			return Delivery{}, err
		}
		// What was signed is the header's own text, not the number printed again.
		x.head = [4]string{at, "."}
	}
	if !v.keys.matches([]signature{sig}, &x) {
		return Delivery{}, unverified("no signature matches")
	}
	return d, nil
}
