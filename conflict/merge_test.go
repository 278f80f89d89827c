package conflict_test

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/conflict"
)

func TestStringSet(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		members []string
		want    string
	}{
		"none":     {nil, `[]`},
		"sorted":   {[]string{"b", "a", "b"}, `["a","b"]`},
		"escapes":  {[]string{"<&>\"\n"}, `["<&>\"\n"]`},
		"empty":    {[]string{""}, `[""]`},
		"not UTF8": {[]string{"\xff"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := slices.Clone(tc.members)
			v, ok := conflict.StringSet(tc.members...)
			require.Equal(t, tc.want, v.Text())
			require.Equal(t, tc.want != "", ok)
			require.Equal(t, before, tc.members, "the caller's slice is left alone")
		})
	}
}

func TestSetMerge(t *testing.T) {
	t.Parallel()
	raw, none, null := dovetail.Raw, dovetail.Value{}, dovetail.Null()
	many := make([]string, 9_000)
	more := make([]string, 9_000)
	for i := range many {
		many[i], more[i] = "a"+strconv.Itoa(i), "b"+strconv.Itoa(i)
	}
	large, _ := conflict.StringSet(many...)
	larger, _ := conflict.StringSet(more...)
	for name, tc := range map[string]struct{ base, left, right, want dovetail.Value }{
		"both added":               {raw(`["a"]`), raw(`["a","b"]`), raw(`["a","c"]`), raw(`["a","b","c"]`)},
		"one added, one removed":   {raw(`["a"]`), raw(`[]`), raw(`["a","c"]`), raw(`["c"]`)},
		"both removed":             {raw(`["a","b"]`), raw(`["b"]`), raw(`["a"]`), raw(`[]`)},
		"one moved":                {raw(`["a"]`), raw(`["a"]`), raw(`["b"]`), raw(`["b"]`)},
		"null is empty":            {null, null, raw(`["a"]`), raw(`["a"]`)},
		"cleared to null":          {raw(`["a"]`), null, raw(`["a"]`), null},
		"order does not count":     {raw(`["b","a"]`), raw(`["a","b"]`), raw(`["b","a"]`), raw(`["a","b"]`)},
		"repeats do not count":     {raw(`["a"]`), raw(`["a","a"]`), raw(`["b","a"]`), raw(`["a","b"]`)},
		"members with escapes":     {raw(`[]`), raw(`["\u0061"]`), raw(`["<"]`), raw(`["<","a"]`)},
		"no base":                  {none, raw(`["a"]`), raw(`["b"]`), none},
		"base is no set":           {str("a"), raw(`["a"]`), raw(`["b"]`), none},
		"a side is a string":       {raw(`[]`), str(`["a"]`), raw(`["b"]`), none},
		"a side is null in JSON":   {raw(`[]`), raw(`null`), raw(`["b"]`), none},
		"a member is null":         {raw(`[]`), raw(`[null]`), raw(`["b"]`), none},
		"a member is a number":     {raw(`[]`), raw(`[1]`), raw(`["b"]`), none},
		"an object":                {raw(`[]`), raw(`{}`), raw(`["b"]`), none},
		"cut off":                  {raw(`[]`), raw(`["a"`), raw(`["b"]`), none},
		"two arrays":               {raw(`[]`), raw(`["a"]["b"]`), raw(`["b"]`), none},
		"half a surrogate pair":    {raw(`[]`), raw(`["\ud800"]`), raw(`["b"]`), none},
		"not UTF-8":                {raw(`[]`), raw("[\"\xff\"]"), raw(`["b"]`), none},
		"more bytes than allowed":  {raw(`[]`), raw(`["` + strings.Repeat("x", 1<<20) + `"]`), raw(`["b"]`), none},
		"more members than merged": {raw(`[]`), large, larger, none},
		"deep":                     {raw(`[]`), raw(strings.Repeat("[", 100_000)), raw(`["b"]`), none},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := pair(tc.base, tc.left, tc.right)
			for _, c := range []conflict.Conflict{c, swapped(c)} {
				d := conflict.Decide(t.Context(), conflict.SetMerge(), c)
				require.Equal(t, tc.want.Encode(), d.Value.Encode(), d.Why)
				require.Equal(t, tc.want.IsAbsent(), d.Verdict == conflict.Parked)
			}
		})
	}
}

// A member is in the merge exactly when both have it, or one side added it.
func TestSetMergeProperty(t *testing.T) {
	t.Parallel()
	valid := func(s string) bool { return !strings.ContainsRune(s, '\uFFFD') } // such a one is parked
	set := rapid.SliceOfDistinct(rapid.StringN(0, 2, 8).Filter(valid), func(s string) string { return s })
	rapid.Check(t, func(t *rapid.T) {
		base, left, right := set.Draw(t, "base"), set.Draw(t, "left"), set.Draw(t, "right")
		value := func(s []string) dovetail.Value {
			v, ok := conflict.StringSet(s...)
			require.True(t, ok)
			return v
		}
		d := conflict.Decide(t.Context(), conflict.SetMerge(), pair(value(base), value(left), value(right)))
		require.NotEqual(t, conflict.Parked, d.Verdict, d.Why)
		var merged []string
		require.NoError(t, json.Unmarshal([]byte(d.Value.Text()), &merged))
		for _, m := range slices.Concat(base, left, right) {
			b, l, r := slices.Contains(base, m), slices.Contains(left, m), slices.Contains(right, m)
			require.Equal(t, l && r || (l || r) && !b, slices.Contains(merged, m))
		}
	})
}

func TestText3(t *testing.T) {
	t.Parallel()
	none := dovetail.Value{}
	for name, tc := range map[string]struct{ base, left, right, want string }{
		"one moved":                  {"a\nb\n", "a\nb\n", "a\nc\n", "a\nc\n"},
		"different lines":            {"a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n", "A\nb\nC\n"},
		"added at both ends":         {"b\n", "a\nb\n", "b\nc\n", "a\nb\nc\n"},
		"removed and changed":        {"a\nb\nc\nd\n", "b\nc\nd\n", "a\nb\nc\nD\n", "b\nc\nD\n"},
		"the same change":            {"a\nb\n", "a\nB\n", "a\nB\nc\n", "-"},
		"same change, other besides": {"a\nb\nc\nd\n", "A\nb\nc\nd\n", "A\nb\nc\nD\n", "A\nb\nc\nD\n"},
		"overlap":                    {"a\nb\nc\n", "a\nB\nc\n", "a\nX\nc\n", "-"},
		"touching":                   {"a\nb\n", "A\nb\n", "a\nB\n", "-"},
		"inserted at one place":      {"a\nb\n", "a\nx\nb\n", "a\ny\nb\n", "-"},
		"inserted the same":          {"a\nb\nc\nd\n", "a\nx\nb\nc\nd\n", "a\nx\nb\nc\nD\n", "a\nx\nb\nc\nD\n"},
		"removed what other changed": {"a\nb\nc\n", "a\nc\n", "a\nB\nc\n", "-"},
		"no newline at the end":      {"a\nb\nc", "A\nb\nc", "a\nb\nC", "A\nb\nC"},
		"both appended":              {"a", "a\nb", "a\nc", "-"},
		"from nothing":               {"", "a\n", "b\n", "-"},
		"one line":                   {"a", "b", "c", "-"},
		"line ends changed":          {"a\nb\nc\n", "a\r\nb\r\nc\r\n", "a\nb\nC\n", "-"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := pair(str(tc.base), str(tc.left), str(tc.right))
			for _, c := range []conflict.Conflict{c, swapped(c)} {
				d := conflict.Decide(t.Context(), conflict.Text3(), c)
				if tc.want == "-" {
					require.Equal(t, conflict.Parked, d.Verdict)
					continue
				}
				require.Equal(t, tc.want, d.Value.Text(), d.Why)
			}
		})
	}
	for name, c := range map[string]conflict.Conflict{
		"no base":       pair(none, str("a"), str("b")),
		"base a number": pair(dovetail.Int(1), str("a"), str("b")),
		"a side null":   pair(str("a"), dovetail.Null(), str("b")),
		"too long":      pair(str("a"), str(strings.Repeat("x", 1<<20+1)), str("b")),
		"too different": pair(str(strings.Repeat("a\n", 2000)), str(strings.Repeat("b\n", 2000)), str("b")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, conflict.Parked, conflict.Decide(t.Context(), conflict.Text3(), c).Verdict)
			require.Equal(t, conflict.Parked, conflict.Decide(t.Context(), conflict.Text3(), swapped(c)).Verdict)
		})
	}
	d := conflict.Decide(t.Context(), conflict.Text3(), pair(dovetail.Null(), str(""), str("a\n")))
	require.Equal(t, "a\n", d.Value.Text(), "a base of null is the empty text")
}

// Edits of separate lines are all in the merge, wherever they are: the merge of
// edits a base line apart equals both applied by hand.
func TestText3KeepsEveryEdit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(3, 30).Draw(t, "lines")
		split := rapid.IntRange(1, n-2).Draw(t, "split") // left edits above it, right below
		base, left, right, want := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
		for i := range n {
			line := "line " + strconv.Itoa(i) + "\n"
			base[i], left[i], right[i], want[i] = line, line, line, line
			change := rapid.SampledFrom([]string{"keep", "", "new", "keep"}).Draw(t, "change")
			if change == "keep" || i == split {
				continue
			}
			if change == "new" {
				change = "new " + strconv.Itoa(i) + "\nand more\n"
			}
			if i < split {
				left[i], want[i] = change, change
			} else {
				right[i], want[i] = change, change
			}
		}
		text := func(lines []string) dovetail.Value { return str(strings.Join(lines, "")) }
		d := conflict.Decide(t.Context(), conflict.Text3(), pair(text(base), text(left), text(right)))
		require.Equal(t, text(want).Text(), d.Value.Text(), d.Why)
	})
}

func FuzzText3(f *testing.F) {
	f.Add("a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n")
	f.Add("", "a", "b\n")
	f.Add("a", "a\nb", "")
	f.Add("a\na\n", "a\n", "a\na\na\n")
	f.Fuzz(func(t *testing.T, base, left, right string) {
		c := pair(str(base), str(left), str(right))
		d := conflict.Decide(t.Context(), conflict.Text3(), c)
		mirror := conflict.Decide(t.Context(), conflict.Text3(), swapped(c))
		require.Equal(t, d.Value, mirror.Value, "order-free")
		if base == left {
			require.Equal(t, str(right), d.Value, "one side moved")
		}
		if d.Verdict == conflict.Parked {
			return
		}
		// No line of the merge is made up: no marks, no two lines glued.
		for line := range strings.Lines(d.Value.Text()) {
			require.Contains(t, slices.Concat(slices.Collect(strings.Lines(left)), slices.Collect(strings.Lines(right))), line)
		}
	})
}

func FuzzSetMerge(f *testing.F) {
	f.Add(`["a"]`, `["a","b"]`, `[]`)
	f.Add(`[`, `null`, `["\ud800"]`)
	f.Add(`[]`, `["<"]`, `["\u003c"]`)
	f.Fuzz(func(t *testing.T, base, left, right string) {
		c := pair(dovetail.Raw(base), dovetail.Raw(left), dovetail.Raw(right))
		d := conflict.Decide(t.Context(), conflict.SetMerge(), c)
		require.Equal(t, d.Value, conflict.Decide(t.Context(), conflict.SetMerge(), swapped(c)).Value, "order-free")
		if d.Verdict == conflict.Parked || left == right {
			return
		}
		var members []string
		require.NoError(t, json.Unmarshal([]byte(d.Value.Text()), &members))
		canonical, ok := conflict.StringSet(members...)
		require.True(t, ok)
		require.Equal(t, canonical, d.Value, "the merge is canonical")
	})
}
