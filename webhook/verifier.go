package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/tectari/dovetail"
)

// A Delivery is what a verified request says of itself.
type Delivery struct {
	// ID is the sender's ID of the delivery, the same when it is sent again, and
	// covered by the signature. Empty where the scheme signs none: the body's hash
	// then stands for it.
	ID string
	// Time is when the sender signed it; zero where the scheme signs no time.
	Time time.Time
}

// A Verifier checks that a request comes from who it should. It returns an error
// that wraps ErrUnverified when it does not; the error holds nothing of the body
// and no secret. It must not change h or body and is called by several goroutines
// at once. A constructor's verifier that was given bad secrets implements Check.
type Verifier interface {
	Verify(h http.Header, body []byte, now time.Time) (Delivery, error)
}

// A Checker is a Verifier that knows what is wrong with its own configuration.
// NewReceiver asks it; until then such a verifier refuses everything.
type Checker interface {
	Check() error
}

// ErrUnverified is wrapped by every error of Verify: a header is missing or
// malformed, no signature matches, or the timestamp is outside the window.
var ErrUnverified = errors.New("webhook: not verified")

// tolerance is how far a signed timestamp may lie in the past or the future.
const tolerance = 5 * time.Minute

// minSecret is the shortest secret that is accepted, in bytes.
const minSecret = 16

// maxSignatures bounds how many signatures of one request are tried: hostile
// input costs an error.
const maxSignatures = 16

func unverified(why string) error { return fmt.Errorf("%w: %s", ErrUnverified, why) }

// only returns the one value of a header. A header that comes twice is refused:
// one reader would take the first and another the last.
func only(h http.Header, name string) (string, error) {
	values := h.Values(name)
	switch {
	case len(values) == 0 || values[0] == "":
		return "", unverified("no header " + name)
	case len(values) > 1:
		return "", unverified("header " + name + " twice")
	}
	return values[0], nil
}

// signedAt reads a timestamp of whole seconds and checks it against the window.
func signedAt(text string, now time.Time) (time.Time, error) {
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 || seconds > 1<<40 {
		return time.Time{}, unverified("timestamp is no number of seconds")
	}
	at := time.Unix(seconds, 0)
	return at, within(at, now)
}

// within checks a signed time against the window.
func within(at, now time.Time) error {
	switch age := now.Sub(at); {
	case age > tolerance:
		return unverified("timestamp is too old")
	case age < -tolerance:
		return unverified("timestamp is in the future")
	}
	return nil
}

// checkSecrets returns dovetail.Faults with what is wrong with the secrets of a
// verifier, whose name is for the message.
func checkSecrets(name string, secrets [][]byte) error {
	faults := dovetail.Faults{Package: "webhook"}
	if len(secrets) == 0 {
		faults.Add("WHK101", name, "no secret: everything would be refused", "pass the signing secret that the sender shows")
	}
	for i, s := range secrets {
		where := fmt.Sprintf("%s, secret %d", name, i+1)
		switch {
		case len(s) == 0:
			faults.Add("WHK102", where, "empty, or not in the sender's format: anybody could sign", "is the environment variable set?")
		case len(s) < minSecret:
			faults.Add("WHK103", where, fmt.Sprintf("%d bytes: can be guessed", len(s)), fmt.Sprintf("use one of at least %d bytes", minSecret))
		}
	}
	return faults.Err()
}

// bodyID is the ID of a delivery whose scheme signs none.
func bodyID(body []byte) string {
	sum := sha256.Sum256(body)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// bytesOf returns secrets as bytes.
func bytesOf(secrets []string) [][]byte {
	keys := make([][]byte, len(secrets))
	for i, s := range secrets {
		keys[i] = []byte(s)
	}
	return keys
}
