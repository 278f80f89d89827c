package idempotency

import "strings"

const keyHeader = "Idempotency-Key"

// maxRequestKey bounds a key in the header, as the larger providers do.
const maxRequestKey = 255

// requestKey reads the header: a string of RFC 8941, as the draft asks, or, as is
// sent by nearly everybody, the bare key. Both forms of one key are the same key. It
// returns what is wrong with it, for the sender.
func requestKey(values []string) (key, fault string) {
	switch {
	case len(values) == 0:
		return "", "Send a header Idempotency-Key with a value of your own for each request, such as a UUID."
	case len(values) > 1:
		return "", "Send one header Idempotency-Key."
	}
	key = strings.Trim(values[0], " \t")
	if strings.HasPrefix(key, `"`) {
		var ok bool
		if key, ok = unquote(key); !ok {
			return "", "The key begins with a quote and is no string of RFC 8941."
		}
	}
	if key == "" || len(key) > maxRequestKey {
		return "", "The key has no character, or more than 255."
	}
	for i := range len(key) {
		if key[i] < 0x20 || key[i] > 0x7e {
			return "", "The key holds a character that is not printable ASCII."
		}
	}
	return key, ""
}

// unquote reads a string of RFC 8941, section 3.3.3, without parameters.
func unquote(text string) (string, bool) {
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; c {
		case '"':
			return b.String(), i == len(text)-1
		case '\\':
			i++
			if i == len(text) || (text[i] != '"' && text[i] != '\\') {
				return "", false
			}
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}
