package idempotency

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The keys that systems remember depend on these: they never change.
func TestKeyUUIDNeverChanges(t *testing.T) {
	t.Parallel()
	require.Equal(t, "b5cb5e84-2a11-8cd8-bcfc-31645d0e0f93", Key{Scope: "acme/store>accounting/invoice", ID: "4711"}.UUID())
	require.Equal(t, "b3f19abd-c913-828b-aa10-95858f1eb7cd", Key{Scope: "acme/store>accounting/invoice", ID: "4711", Op: "refund-1"}.UUID())
}

func TestInvalidKeyIsRefusedEverywhere(t *testing.T) {
	t.Parallel()
	for name, k := range map[string]Key{
		"zero": {}, "no ID": {Scope: "s"}, "no scope": {ID: "1"}, "NUL": {Scope: "s", ID: "a\x00b"}, "not UTF-8": {Scope: "s", ID: "\xff"},
		"long": {Scope: "s", ID: strings.Repeat("x", maxPart+1)}, "long op": {Scope: "s", ID: "1", Op: strings.Repeat("x", maxPart+1)},
		"long in all": {Scope: strings.Repeat("s", maxPart), ID: strings.Repeat("x", maxPart), Op: "o"},
	} {
		require.ErrorIs(t, k.check(), ErrInvalidKey, name)
		require.Empty(t, k.UUID(), name)
	}
	require.NoError(t, Key{Scope: strings.Repeat("s", maxPart), ID: strings.Repeat("x", maxPart)}.check())
}

// No two keys share a UUID: the parts carry their lengths.
func FuzzKeyIsInjective(f *testing.F) {
	f.Add("1", "23", "", "12", "3", "")
	f.Add("a", "b", "c", "a", "bc", "")
	f.Add("a/b", "c", "", "a", "b/c", "")
	f.Fuzz(func(t *testing.T, s1, i1, o1, s2, i2, o2 string) {
		a, b := Key{s1, i1, o1}, Key{s2, i2, o2}
		if a.UUID() == "" || b.UUID() == "" {
			return
		}
		require.Equal(t, a == b, a.UUID() == b.UUID(), "%q %q", a, b)
		require.Len(t, a.UUID(), 36)
		require.Equal(t, byte('8'), a.UUID()[14], "version")
		require.Contains(t, "89ab", a.UUID()[19:20], "variant")
	})
}
