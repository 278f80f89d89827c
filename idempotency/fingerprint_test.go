package idempotency

import (
	"bytes"
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFingerprintTellsPayloadsApart(t *testing.T) {
	t.Parallel()
	same := [][]string{
		{`{"a":1,"b":2}`, ` { "b" : 2 , "a" : 1 } `, "{\"\\u0061\":1.0,\"b\":20e-1}"},
		{`1.5`, `1.50`, `15e-1`, `0.15E+1`, `150e-2`},
		{`0`, `-0`, `0.000`, `0e5`},
		{`"é"`, `"\u00e9"`}, {`"😀"`, `"\ud83d\ude00"`}, {`"/"`, `"\/"`},
		{`9007199254740993`, `9007199254740993.0`},
	}
	for _, texts := range same {
		for _, text := range texts[1:] {
			require.Equal(t, mustFingerprint(t, texts[0]), mustFingerprint(t, text), "%s and %s", texts[0], text)
		}
	}
	different := []string{
		`9007199254740993`, `9007199254740992`, `"9007199254740993"`, `0.1`, `0.10000000000000000555`, `1e400`, `1e401`, `100`, `-100`, `10`, `1`,
		`"a"`, `"A"`, `"a "`, `"e\u0301"`, `"\u00e9"`, `""`, `null`, `"null"`, `true`, `false`, `{}`, `[]`, `[[]]`, `[{}]`, `[1,2]`, `[2,1]`, `[12]`,
		`{"a":null}`, `{"a":{}}`, `{"a":1,"b":2}`, `{"a":2,"b":1}`, `{"a":{"b":2}}`, `["a","b"]`, `["ab"]`, `["a\",\"b"]`, `{"a":"b"}`, `{"ab":""}`,
	}
	seen := map[Fingerprint]string{}
	for _, text := range different {
		fp := mustFingerprint(t, text)
		require.Empty(t, seen[fp], "%s has the fingerprint of another", text)
		seen[fp] = text
	}
}

func mustFingerprint(t *testing.T, text string) Fingerprint {
	t.Helper()
	fp, err := fingerprint([]byte(text))
	require.NoError(t, err, text)
	return fp
}

func TestFingerprintRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		``, ` `, `{`, `}`, `[1,]`, `{"a":1,}`, `{"a":1,"a":1}`, `{"a":1,"\u0061":2}`, `{"x":{"b":1,"a":2,"b":3}}`, `01`, `1.`, `.5`, `+1`, `1e`, `1e99999999999`, `-`,
		`"`, `"\ud800"`, `"\ud800\u0041"`, `"\x"`, "\"\xff\"", "\"a\nb\"", `nul`, `truex`, `1 2`, `{a:1}`, `NaN`, `"secret-value`,
		strings.Repeat("[", 2000) + strings.Repeat("]", 2000),
	} {
		_, err := fingerprint([]byte(text))
		require.ErrorIs(t, err, ErrPayload, text)
		require.NotContains(t, err.Error(), "secret-value")
	}
	_, _, err := encode(func() {})
	require.ErrorIs(t, err, ErrPayload)
}

// What encoding/json takes for the same value has one canonical form, and that
// form is the same after a round trip; what it refuses is refused here.
func FuzzFingerprint(f *testing.F) {
	for _, seed := range []string{`{"b":[1,2.50,-0.0e3],"a":{"z":null,"y":"\u00e9\ud83d\ude00"}}`, `9007199254740993`, `"\/"`, `[true,false,null,""]`, `{"a":1,"a":2}`, `1e-7`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		form, err := canonical(data)
		if err != nil {
			require.ErrorIs(t, err, ErrPayload)
			return
		}
		require.True(t, json.Valid(data), "%q is not JSON", data)
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		var v any
		require.NoError(t, d.Decode(&v))
		again, err := json.Marshal(v)
		require.NoError(t, err)
		other, err := canonical(again)
		require.NoError(t, err)
		require.Equal(t, form, other, "%q and %q", data, again)
	})
}

// Two numbers have one form exactly when they are the same number.
func FuzzNumbersAreExact(f *testing.F) {
	f.Add("1.50", "15e-1")
	f.Add("9007199254740993", "9007199254740992")
	f.Add("-0", "0")
	f.Fuzz(func(t *testing.T, a, b string) {
		fa, err := canonical([]byte(a))
		fb, err2 := canonical([]byte(b))
		var na, nb json.Number
		if err != nil || err2 != nil || json.Unmarshal([]byte(a), &na) != nil || json.Unmarshal([]byte(b), &nb) != nil || a[0] == '"' || b[0] == '"' || len(a)+len(b) > 60 {
			return
		}
		ra, ok := new(big.Rat).SetString(small(string(na)))
		rb, ok2 := new(big.Rat).SetString(small(string(nb)))
		if !ok || !ok2 {
			return
		}
		require.Equal(t, ra.Cmp(rb) == 0, bytes.Equal(fa, fb), "%s and %s", a, b)
	})
}

// small leaves out what big.Rat would take for ever to hold.
func small(n string) string {
	if i := strings.IndexAny(n, "eE"); i >= 0 && len(n)-i > 4 {
		return ""
	}
	return n
}
