package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tectari/dovetail/outbox"
)

// maxHeader bounds a header that is kept, in bytes, and maxHeaders their number.
const (
	maxHeader  = 512
	maxHeaders = 32
)

// message is the delivery as it is stored.
func (r *Receiver) message(h http.Header, d Delivery, body []byte) outbox.Message {
	id := d.ID
	if id == "" {
		id = bodyID(body)
	}
	return outbox.Message{
		To: r.config.Destination, Topic: r.config.Source, Payload: body, Headers: headersOf(h),
		DedupKey: dedupKey(r.config.Source, id),
	}
}

// dedupKey is the source and the delivery's ID. It carries the length of the
// source, so that no other pair has the same, and a hash where an ID is too long
// or odd to be stored.
func dedupKey(source, id string) string {
	if len(source)+len(id) > 512 || !utf8.ValidString(source+id) || strings.ContainsRune(source+id, 0) {
		sum := sha256.Sum256([]byte(strconv.Itoa(len(source)) + ":" + source + id))
		return "webhook#" + hex.EncodeToString(sum[:])
	}
	return "webhook:" + strconv.Itoa(len(source)) + ":" + source + ":" + id
}

// headersOf returns the headers a handler may need: which event, which shop, which
// version. What could carry a secret is left out: whoever reads the queue must not
// be able to sign.
func headersOf(h http.Header) map[string]string {
	kept := make(map[string]string)
	for name, values := range h {
		if len(kept) == maxHeaders || len(values) != 1 || len(name)+len(values[0]) > maxHeader || !useful(name) {
			continue
		}
		if !utf8.ValidString(values[0]) || strings.ContainsRune(values[0], 0) {
			continue
		}
		kept[name] = values[0]
	}
	return kept
}

// useful reports whether a header tells what the delivery is about.
func useful(name string) bool {
	if name == "Content-Type" || name == "Traceparent" || name == "Tracestate" || name == standardID || name == standardTime {
		return true
	}
	if !strings.HasPrefix(name, "X-") {
		return false
	}
	lower := strings.ToLower(name)
	for _, word := range [...]string{"signature", "hmac", "token", "secret", "auth", "key", "password", "cookie", "forwarded", "real-ip"} {
		if strings.Contains(lower, word) {
			return false
		}
	}
	return true
}
