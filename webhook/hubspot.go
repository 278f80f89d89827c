package webhook

import (
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/tectari/dovetail"
)

// The headers of HubSpot's signature, version 3.
const (
	hubspotSignature = "X-Hubspot-Signature-V3"
	hubspotTime      = "X-Hubspot-Request-Timestamp"
)

// HubSpot returns the verifier of HubSpot's webhooks, signature version 3. Target is
// the URL that HubSpot calls, as it is set up there: it is signed, and behind a proxy a
// request does not tell it. A secret is the app's client secret. HubSpot signs each
// delivery anew, so the hash of the body stands for it; one body holds up to a hundred
// events. Source: developers.hubspot.com, Validating requests.
func HubSpot(target string, secrets ...string) Verifier {
	return &hubspotVerifier{target: target, keys: keysOf(bytesOf(secrets))}
}

type hubspotVerifier struct {
	target string
	keys   keyring
	ready  sync.Once
	fault  error
}

// Check returns dovetail.Faults with what is wrong with the configuration.
func (v *hubspotVerifier) Check() error {
	v.ready.Do(func() { v.fault = v.check() })
	return v.fault
}

func (v *hubspotVerifier) check() error {
	if u, err := url.Parse(v.target); err != nil || u.Host == "" {
		faults := dovetail.Faults{Package: "webhook"}
		faults.Add("WHK107", "HubSpot, target", "no URL with a host", `the URL that HubSpot calls: "https://example.com/webhooks/hubspot"`)
		return faults.Err()
	}
	return checkSecrets("HubSpot", v.keys.bytes())
}

// Verify checks the request; see Verifier.
func (v *hubspotVerifier) Verify(h http.Header, body []byte, now time.Time) (Delivery, error) {
	if v.Check() != nil {
		return Delivery{}, unverified("the verifier is not configured")
	}
	text, err := only(h, hubspotSignature)
	if err != nil {
		return Delivery{}, err
	}
	at, err := only(h, hubspotTime)
	if err != nil {
		return Delivery{}, err
	}
	when, err := millisAt(at, now)
	if err != nil {
		return Delivery{}, err
	}
	sig, err := Base64.read(text)
	if err != nil {
		return Delivery{}, err
	}
	if !v.keys.matches([]signature{sig}, &signed{head: [4]string{http.MethodPost, v.target}, body: body, tail: at}) {
		return Delivery{}, unverified("no signature matches")
	}
	return Delivery{Time: when}, nil
}

// millisAt reads a timestamp of milliseconds and checks it against the window. The
// body stands right before it in what is signed, so it has one length only: else its
// first digit could be the body's last.
func millisAt(text string, now time.Time) (time.Time, error) {
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil || len(text) != 13 || ms < 0 {
		return time.Time{}, unverified("timestamp is no number of milliseconds")
	}
	at := time.UnixMilli(ms)
	return at, within(at, now)
}
