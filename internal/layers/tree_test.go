package layers

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/tectari/dovetail"

// nested are the modules inside the tree, which are not part of the library. The
// sinks are modules too, but for users: what holds for the library holds for them.
var nested = []string{"examples", "internal/bench", "internal/integration", "internal/tools"}

// file is one Go file of the tree.
type file struct {
	path    string // from the root, with slashes
	dir     string // "" for the root
	test    bool
	nested  bool
	lines   int
	ast     *ast.File
	imports []string
}

// load parses every Go file of the tree once.
var load = sync.OnceValues(func() ([]*file, *token.FileSet) {
	fset := token.NewFileSet()
	var files []*file
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := filepath.ToSlash(strings.TrimPrefix(strings.TrimPrefix(name, root), string(filepath.Separator)))
		base := d.Name()
		if d.IsDir() {
			if rel != "" && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || base == "bin") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(base, ".go") {
			return nil
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		tree, err := parser.ParseFile(fset, rel, src, parser.ParseComments)
		if err != nil {
			return err
		}
		f := &file{path: rel, dir: strings.TrimSuffix(path.Dir(rel), "."), test: strings.HasSuffix(base, "_test.go"), ast: tree,
			lines: strings.Count(string(src), "\n")}
		f.nested = slices.ContainsFunc(nested, func(n string) bool { return f.dir == n || strings.HasPrefix(f.dir, n+"/") })
		for _, spec := range tree.Imports {
			p, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			f.imports = append(f.imports, p)
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		panic(err) // a file that does not parse stops every test, with its place
	}
	return files, fset
})

// root is the tree, seen from this folder.
const root = "../.."

// tree returns every Go file.
func tree(t *testing.T) []*file {
	t.Helper()
	files, _ := load()
	require.NotEmpty(t, files)
	return files
}

// library returns the files of the root module and of the sinks that are not
// tests.
func library(t *testing.T) []*file {
	t.Helper()
	return slices.DeleteFunc(slices.Clone(tree(t)), func(f *file) bool { return f.test || f.nested })
}

// packages groups files by folder.
func packages(files []*file) map[string][]*file {
	out := map[string][]*file{}
	for _, f := range files {
		out[f.dir] = append(out[f.dir], f)
	}
	return out
}

// public reports whether a folder holds a package for users.
func public(dir string) bool { return dir != "internal" && !strings.HasPrefix(dir, "internal/") }

// at prints a place.
func at(p token.Pos) string {
	_, fset := load()
	return fset.Position(p).String()
}

// ensure notes a fault unless ok. A test lists every fault, not the first.
func ensure(t *testing.T, ok bool, format string, args ...any) {
	t.Helper()
	if !ok {
		t.Errorf(format, args...)
	}
}
