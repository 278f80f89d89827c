package layers

import (
	"go/ast"
	"go/doc"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEveryPackageSaysWhatItGuarantees(t *testing.T) {
	t.Parallel()
	for dir, files := range packages(library(t)) {
		if !public(dir) || dir == "" {
			continue
		}
		ok := slices.ContainsFunc(files, func(f *file) bool {
			return f.ast.Doc != nil && strings.Contains(f.ast.Doc.Text(), "# Guarantees\n")
		})
		ensure(t, ok, "package %s has no section # Guarantees in its comment", dir)
	}
}

func TestEveryPackageHasAnExampleWithOutput(t *testing.T) {
	t.Parallel()
	tests := map[string][]*ast.File{}
	for _, f := range tree(t) {
		if f.test && !f.nested {
			tests[f.dir] = append(tests[f.dir], f.ast)
		}
	}
	for dir := range packages(library(t)) {
		if !public(dir) || dir == "" {
			continue
		}
		ok := slices.ContainsFunc(doc.Examples(tests[dir]...), func(e *doc.Example) bool { return e.Output != "" || e.EmptyOutput })
		ensure(t, ok, "package %s has no Example with Output; show its constructor in example_test.go", dir)
	}
}

func TestEveryConstructorHasAnExample(t *testing.T) {
	t.Parallel()
	examples := map[string]bool{}
	for _, f := range tree(t) {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && f.test && strings.HasPrefix(fn.Name.Name, "Example") {
				name, _, _ := strings.Cut(strings.TrimPrefix(fn.Name.Name, "Example"), "_")
				examples[f.dir+"."+name] = true
			}
		}
	}
	for _, f := range library(t) {
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || fn.Name.Name != "New" || !public(f.dir) {
				continue
			}
			ensure(t, examples[f.dir+".New"] || examples[f.dir+"."], "%s: package %s has no ExampleNew and no Example", f.path, f.dir)
		}
	}
}

func TestNoFileIsLong(t *testing.T) {
	t.Parallel()
	for _, f := range tree(t) {
		if !ast.IsGenerated(f.ast) {
			ensure(t, f.lines <= 500, "%s: %d lines; a file holds one noun; split it", f.path, f.lines)
		}
	}
}

func TestSyncLeavesTheNamesOfTheStandardLibraryAlone(t *testing.T) {
	t.Parallel()
	taken := []string{"Cond", "Locker", "Map", "Mutex", "NewCond", "Once", "OnceFunc", "OnceValue", "OnceValues", "Pool", "RWMutex", "WaitGroup"}
	for _, f := range packages(library(t))["sync"] {
		for _, name := range toplevel(f.ast) {
			ensure(t, !slices.Contains(taken, name.Name), "%s: %s is a name of the standard library", at(name.Pos()), name.Name)
		}
	}
}

// toplevel returns the names that a file declares at its top level, but for
// methods.
func toplevel(f *ast.File) []*ast.Ident {
	var names []*ast.Ident
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				names = append(names, d.Name)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					names = append(names, s.Name)
				case *ast.ValueSpec:
					names = append(names, s.Names...)
				}
			}
		}
	}
	return names
}

func TestGuaranteesNameTestsThatExist(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(root + "/docs/guarantees.md")
	require.NoError(t, err, "docs/guarantees.md lists each promise with its test")
	exist := map[string][]string{}
	for _, f := range tree(t) {
		for _, name := range toplevel(f.ast) {
			if f.test || strings.HasPrefix(f.dir, "dovetailtest") {
				exist[name.Name] = append(exist[name.Name], f.dir)
			}
		}
	}
	named := regexp.MustCompile(`\b(?:Test|Fuzz|Example)[A-Z]\w*`).FindAllString(string(text), -1)
	require.NotEmpty(t, named)
	for _, name := range named {
		ensure(t, exist[name] != nil, "docs/guarantees.md names %s, which does not exist: a promise without a test does not exist either", name)
	}
	// "— TestName (package)": the test is where the line says.
	for _, m := range regexp.MustCompile("`?((?:Test|Fuzz)[A-Z]\\w*)`? \\(`?([\\w/]+)`?\\)").FindAllStringSubmatch(string(text), -1) {
		ok := slices.ContainsFunc(exist[m[1]], func(dir string) bool {
			return dir == m[2] || strings.HasSuffix(dir, "/"+m[2]) || (dir == "" && m[2] == "dovetail")
		})
		ensure(t, ok, "docs/guarantees.md: %s is not in %s but in %v", m[1], m[2], exist[m[1]])
	}
}

// calls visits every call of pkg.name in a file.
func calls(f *ast.File, pkg, name string, visit func(*ast.CallExpr)) {
	ast.Inspect(f, func(n ast.Node) bool {
		c, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if s, ok := c.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == name {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == pkg {
				visit(c)
			}
		}
		return true
	})
}

func TestNothingSleepsInProduction(t *testing.T) {
	t.Parallel()
	for _, f := range library(t) {
		if f.dir == "dovetailtest" || f.dir == "internal/oncetest" {
			continue // it is part of tests
		}
		calls(f.ast, "time", "Sleep", func(c *ast.CallExpr) {
			ensure(t, false, "%s: wait on a timer and ctx.Done together", at(c.Pos()))
		})
	}
}

func TestNoInit(t *testing.T) {
	t.Parallel()
	for _, f := range library(t) {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				ensure(t, fn.Name.Name != "init", "%s: no package does anything by being imported", at(fn.Pos()))
			}
		}
	}
}

// dialects are the files that hold the statements of one kind of database.
var dialects = regexp.MustCompile(`^store/sqlstore/(sqlite|postgres|mysql|mariadb)(_\w+)?\.go$`)

var statement = regexp.MustCompile(`(?i)^\s*(SELECT\s|INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|CREATE\s+(TABLE|INDEX)|ALTER\s+TABLE|WITH\s+\w+\s+AS)`)

func TestStatementsStandInDialectFiles(t *testing.T) {
	t.Parallel()
	for _, f := range library(t) {
		for _, name := range []string{"Sprintf", "Sprint", "Fprintf", "Appendf"} {
			calls(f.ast, "fmt", name, func(c *ast.CallExpr) {
				for _, arg := range c.Args {
					ensure(t, !isStatement(arg), "%s: no statement is built by formatting", at(c.Pos()))
				}
			})
		}
		if !strings.HasPrefix(f.dir, "store/sqlstore") || dialects.MatchString(f.path) {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if e, ok := n.(*ast.BasicLit); ok {
				ensure(t, !isStatement(e), "%s: a statement belongs in its dialect's file, as a constant", at(e.Pos()))
			}
			return true
		})
	}
}

func isStatement(e ast.Expr) bool {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return false
	}
	s, err := strconv.Unquote(lit.Value)
	return err == nil && statement.MatchString(s)
}

func TestSentinelsSayTheirPackage(t *testing.T) {
	t.Parallel()
	for _, f := range library(t) {
		for _, d := range f.ast.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, s := range g.Specs {
				v := s.(*ast.ValueSpec)
				for i, value := range v.Values {
					c, ok := value.(*ast.CallExpr)
					if !ok || len(c.Args) == 0 || !isErrorsNew(c) || !v.Names[i].IsExported() {
						continue
					}
					ensure(t, strings.HasPrefix(v.Names[i].Name, "Err"), "%s: %s is not named ErrX", at(c.Pos()), v.Names[i].Name)
					lit, ok := c.Args[0].(*ast.BasicLit)
					if !ok {
						ensure(t, false, "%s: a sentinel's text is a constant", at(c.Pos()))
						continue
					}
					text, err := strconv.Unquote(lit.Value)
					require.NoError(t, err)
					ensure(t, strings.HasPrefix(text, f.ast.Name.Name+": "), "%s: %q does not begin with %q", at(c.Pos()), text, f.ast.Name.Name+": ")
				}
			}
		}
	}
}

func isErrorsNew(c *ast.CallExpr) bool {
	s, ok := c.Fun.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != "New" {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == "errors"
}
