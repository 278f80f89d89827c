package webhook

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

// Stripe returns the verifier of Stripe's webhooks (Stripe-Signature, scheme v1).
// A secret is as Stripe shows it, "whsec_" included. Stripe signs the time and the
// body, and signs each delivery anew, so the hash of the body stands for it.
func Stripe(secrets ...string) Verifier { return &stripeVerifier{keys: keysOf(bytesOf(secrets))} }

type stripeVerifier struct {
	keys  keyring
	ready sync.Once
	fault error
}

// Check returns dovetail.Faults with what is wrong with the secrets.
func (v *stripeVerifier) Check() error {
	v.ready.Do(func() { v.fault = checkSecrets("Stripe", v.keys.bytes()) })
	return v.fault
}

// Verify checks the request; see Verifier.
func (v *stripeVerifier) Verify(h http.Header, body []byte, now time.Time) (Delivery, error) {
	if v.Check() != nil {
		return Delivery{}, unverified("the verifier is not configured")
	}
	header, err := only(h, "Stripe-Signature")
	if err != nil {
		return Delivery{}, err
	}
	var room [maxSignatures]signature
	at, signatures, err := parseStripe(header, room[:0])
	if err != nil {
		return Delivery{}, err
	}
	when, err := signedAt(at, now)
	if err != nil {
		return Delivery{}, err
	}
	if !v.keys.matches(signatures, &signed{head: [4]string{at, "."}, body: body}) {
		return Delivery{}, unverified("no signature matches")
	}
	return Delivery{Time: when}, nil
}

// parseStripe reads "t=1492774577,v1=5257a8…,v0=6ffbb5…". The signatures are appended
// to those given.
func parseStripe(header string, signatures []signature) (string, []signature, error) {
	at := ""
	for part := range strings.SplitSeq(header, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case !ok:
			return "", nil, unverified("signature header is not what its scheme writes")
		case name == "t" && at != "":
			return "", nil, unverified("timestamp twice")
		case name == "t":
			at = value
		case name == "v1":
			if sig, err := Hex.read(value); err == nil && len(signatures) < maxSignatures {
				signatures = append(signatures, sig)
			}
		}
	}
	if at == "" {
		return "", nil, unverified("no timestamp")
	}
	return at, signatures, nil
}
