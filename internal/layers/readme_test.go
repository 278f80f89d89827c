package layers

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The quick start is code that compiles and runs: every Go block of the README
// stands, to the letter, in the example of package sync.
func TestReadmeShowsTheExampleThatIsTested(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(root + "/README.md")
	require.NoError(t, err)
	example, err := os.ReadFile(root + "/sync/example_test.go")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	require.NotEmpty(t, blocks)
	for _, b := range blocks {
		ensure(t, strings.Contains(string(example), b[1]), "README.md: this block is not in sync/example_test.go:\n%s", b[1])
		ensure(t, strings.Count(b[1], "\n") <= 40, "README.md: a quick start is at most 40 lines")
	}
	ensure(t, strings.Count(string(readme), "\n") <= 250, "README.md: at most 250 lines")
}

// A page that leads nowhere is found here, not by a stranger.
func TestLinksOfThePagesLeadSomewhere(t *testing.T) {
	t.Parallel()
	for _, page := range []string{"README.md", "docs/architecture.md", "docs/benchmarks.md", "docs/design.md", "docs/guarantees.md", "CHANGELOG.md"} {
		text, err := os.ReadFile(root + "/" + page)
		require.NoError(t, err)
		dir := root + "/" + strings.TrimSuffix(page, page[strings.LastIndex(page, "/")+1:])
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`).FindAllStringSubmatch(string(text), -1) {
			_, err := os.Stat(dir + m[1])
			ensure(t, err == nil, "%s: %s is not there", page, m[1])
		}
	}
}
