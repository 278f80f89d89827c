package layers

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// edges is the import graph of the library: which of our packages each package
// may import, "" being the root. A new edge is a design decision: add it here, or
// do without.
var edges = map[string][]string{
	"":                      {},
	"ownership":             {""},
	"conflict":              {""},
	"conflict/conflicttest": {"", "conflict"},
	"retry":                 {"", "retry/profile"},
	"retry/profile":         {""},
	"idempotency":           {""},
	"alert":                 {""},
	"outbox":                {"", "alert"},
	"webhook":               {"", "outbox"},
	"sync":                  {"", "alert", "conflict", "idempotency", "outbox", "ownership"},
	"console":               {"", "alert", "conflict", "idempotency", "outbox", "ownership", "sync"},
	"telemetry":             {""},
	"store/sqlstore":        {"", "alert", "idempotency", "outbox", "sync", "webhook"},
	"store/memstore":        {"", "alert", "idempotency", "outbox", "sync", "webhook"},
	"dovetailtest":          {"", "alert", "conflict", "idempotency", "outbox", "ownership", "sync", "webhook"},
	"internal/layers":       {},
	"internal/oncetest":     {"", "dovetailtest", "idempotency"},

	// Each sink is a module of its own, for its broker's client.
	"sink/amqpsink":      {"", "outbox"},
	"sink/kafkasink":     {"", "outbox"},
	"sink/natssink":      {"", "outbox"},
	"sink/watermillsink": {"", "outbox"},
	"store/pgxstore":     {"", "outbox", "store/sqlstore"},
	"internal/sinktest":  {"", "alert", "outbox", "store/memstore"},
}

// others says which package may import what of others, by the longest prefix.
// Tests may import testify and rapid anywhere.
var others = map[string][]string{
	"github.com/hashicorp/go-retryablehttp": {"retry"},
	"golang.org/x/time":                     {"retry", "outbox"},
	"github.com/google/uuid":                {"alert", "idempotency", "outbox", "sync", "webhook"},
	"go.opentelemetry.io":                   {"telemetry"},
	"github.com/nats-io/nats.go":            {"sink/natssink"},
	"github.com/rabbitmq/amqp091-go":        {"sink/amqpsink"},
	"github.com/jackc/pgx/v5":               {"store/pgxstore"},
	"github.com/ThreeDotsLabs/watermill":    {"sink/watermillsink"},
	"github.com/twmb/franz-go":              {"sink/kafkasink"},
	"testing":                               {"dovetailtest", "conflict/conflicttest", "internal/oncetest", "internal/sinktest"},
	"pgregory.net/rapid":                    {},
	"github.com/stretchr/testify":           {"internal/oncetest"},
}

func TestImportGraphIsTheTable(t *testing.T) {
	t.Parallel()
	for _, f := range library(t) {
		allowed, known := edges[f.dir]
		ensure(t, known, "%s: package %q is not in the table of internal/layers; add it with what it may import", f.path, f.dir)
		for _, p := range f.imports {
			if p == module || strings.HasPrefix(p, module+"/") {
				dir := strings.TrimPrefix(strings.TrimPrefix(p, module), "/")
				ensure(t, slices.Contains(allowed, dir), "%s imports %s: a new edge is a design decision", f.path, p)
			}
		}
	}
}

func TestForeignImportsHaveOneHome(t *testing.T) {
	t.Parallel()
	for _, f := range library(t) {
		for _, p := range f.imports {
			known := standard(p)
			for prefix, home := range others {
				if p == prefix || strings.HasPrefix(p, prefix+"/") {
					known = true
					ensure(t, slices.Contains(home, f.dir), "%s imports %s, which belongs to %v", f.path, p, home)
				}
			}
			if !known && !strings.HasPrefix(p, module) {
				ensure(t, false, "%s imports %s: a new dependency needs a line in docs/design.md and in internal/layers", f.path, p)
			}
		}
	}
}

// standard reports whether p is of the standard library.
func standard(p string) bool {
	first, _, _ := strings.Cut(p, "/")
	return !strings.Contains(first, ".")
}

func TestRootImportsOnlyTheStandardLibrary(t *testing.T) {
	t.Parallel()
	for _, f := range packages(library(t))[""] {
		for _, p := range f.imports {
			ensure(t, standard(p), "%s imports %s: the root package holds shared words only", f.path, p)
		}
	}
}

func TestNothingOfOursImportsRetry(t *testing.T) {
	t.Parallel()
	for _, f := range library(t) {
		if f.dir != "retry" && !strings.HasPrefix(f.dir, "retry/") {
			ensure(t, !slices.Contains(f.imports, module+"/retry"), "%s: *http.Client is the seam", f.path)
		}
	}
}

func TestTestsImportOnlyTheTestKit(t *testing.T) {
	t.Parallel()
	for _, f := range tree(t) {
		if !f.test || f.nested {
			continue
		}
		for _, p := range f.imports {
			ok := standard(p) || strings.HasPrefix(p, module) || p == "pgregory.net/rapid" || p == "github.com/stretchr/testify/require" ||
				allowedFor(f.dir, p)
			ensure(t, ok, "%s imports %s: drivers and other servers are tested in internal/integration, and require is the only assertion package", f.path, p)
		}
	}
}

// allowedFor reports whether package dir, and so its tests, may import p.
func allowedFor(dir, p string) bool {
	for prefix, dirs := range others {
		if (p == prefix || strings.HasPrefix(p, prefix+"/")) && slices.Contains(dirs, dir) {
			return true
		}
	}
	return false
}

// budget is every module that the root go.mod may name: the first six by choice,
// the others because those need them.
var budget = []string{
	"github.com/hashicorp/go-retryablehttp", "golang.org/x/time", "github.com/google/uuid",
	"go.opentelemetry.io/otel", "go.opentelemetry.io/otel/metric", "go.opentelemetry.io/otel/trace",
	"github.com/stretchr/testify", "pgregory.net/rapid",

	"github.com/cespare/xxhash/v2", "github.com/go-logr/logr", "github.com/go-logr/stdr", "github.com/hashicorp/go-cleanhttp",
	"go.opentelemetry.io/auto/sdk", "go.yaml.in/yaml/v3", "gopkg.in/yaml.v3", "github.com/davecgh/go-spew", "github.com/pmezard/go-difflib",
}

func TestRootModuleStaysInItsBudget(t *testing.T) {
	t.Parallel()
	src, err := os.ReadFile(root + "/go.mod")
	require.NoError(t, err)
	found := regexp.MustCompile(`(?m)^(?:require)?\s+([a-z][\w.-]*\.[\w./-]+) v\S+`).FindAllStringSubmatch(string(src), -1)
	require.NotEmpty(t, found)
	for _, m := range found {
		ensure(t, slices.Contains(budget, m[1]), "go.mod: %s: every importer would carry it, and a driver would bump the importer's own version", m[1])
	}
	require.NotRegexp(t, `(?m)^(tool|replace|exclude)\b`, string(src), "tools are pinned in internal/tools, and a release carries no replace")
}

func TestSinksNameOnlyTheirClient(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(root + "/sink/*/go.mod")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, name := range files {
		src, err := os.ReadFile(name)
		require.NoError(t, err)
		dir := "sink/" + filepath.Base(filepath.Dir(name))
		for _, m := range regexp.MustCompile(`(?m)^(?:require)?\s+([a-z][\w.-]*\.[\w./-]+) v\S+$`).FindAllStringSubmatch(string(src), -1) {
			ok := m[1] == module || m[1] == "github.com/stretchr/testify" || allowedFor(dir, m[1])
			ensure(t, ok, "%s: %s: whoever imports the sink would carry it, and a driver would bump the importer's own version", name, m[1])
		}
	}
}

func TestSyncIsImportedAsDatasync(t *testing.T) {
	t.Parallel()
	for _, f := range tree(t) {
		for _, spec := range f.ast.Imports {
			if spec.Path.Value != `"`+module+`/sync"` {
				continue
			}
			ensure(t, spec.Name != nil && spec.Name.Name == "datasync", "%s: write datasync %s", at(spec.Pos()), spec.Path.Value)
		}
	}
}
