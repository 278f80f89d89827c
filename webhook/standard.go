package webhook

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of the Standard Webhooks specification.
const (
	standardID        = "Webhook-Id"
	standardTime      = "Webhook-Timestamp"
	standardSignature = "Webhook-Signature"
)

// secretPrefix stands before the base64 of a Standard Webhooks secret.
const secretPrefix = "whsec_" // #nosec G101 -- not a secret

// Standard returns the verifier of Standard Webhooks, version v1 (HMAC-SHA256). A
// secret is as the sender shows it, base64 with or without "whsec_" before it. Any
// of the secrets, and any of a request's signatures, will do.
func Standard(secrets ...string) Verifier {
	keys := make([][]byte, len(secrets))
	for i, s := range secrets {
		keys[i] = standardKey(s)
	}
	return &standardVerifier{secrets: keys}
}

// standardKey returns the bytes of a secret, nil if it is not base64.
func standardKey(secret string) []byte {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, secretPrefix))
	if err != nil {
		return nil
	}
	return key
}

type standardVerifier struct{ secrets [][]byte }

// Check returns dovetail.Faults with what is wrong with the secrets.
func (v *standardVerifier) Check() error { return checkSecrets("Standard", v.secrets) }

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
	var signatures [][]byte
	for entry := range strings.FieldsSeq(list) {
		text, ok := strings.CutPrefix(entry, "v1,")
		if !ok {
			continue // another version of the scheme
		}
		if sig, err := Base64.decode(text); err == nil && len(signatures) < maxSignatures {
			signatures = append(signatures, sig)
		}
	}
	if !matches(v.secrets, signatures, []byte(id), []byte("."), []byte(at), []byte("."), body) {
		return Delivery{}, unverified("no signature matches")
	}
	return Delivery{ID: id, Time: when}, nil
}

// ambiguous reports whether an ID ends in a point and digits.
func ambiguous(id string) bool {
	i := strings.LastIndexByte(id, '.')
	return i >= 0 && strings.Trim(id[i+1:], "0123456789") == ""
}

// SignStandard returns the headers with which a Standard Webhooks sender signs a
// body, for fake systems in tests. A secret that is not base64 signs nothing that
// Standard accepts.
func SignStandard(secret, id string, t time.Time, body []byte) http.Header {
	at := strconv.FormatInt(t.Unix(), 10)
	sig := sign(standardKey(secret), []byte(id), []byte("."), []byte(at), []byte("."), body)
	h := http.Header{}
	h.Set(standardID, id)
	h.Set(standardTime, at)
	h.Set(standardSignature, "v1,"+base64.StdEncoding.EncodeToString(sig))
	return h
}
