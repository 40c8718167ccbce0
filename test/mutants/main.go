// Mutants changes the code of a package a little, again and again, and lists the changes
// that no test notices. Where the package's own tests don't notice one, the suites given
// with -also are run. A change that does not compile is not counted. It fails if a change
// lives that survivors.md does not list, with the reason.
//
// It exists beside tools such as gremlins because those skip what Go's coverage does not
// mark, such as the conditions of a switch, and can't try a second suite on survivors.
//
//	go run ./test/mutants -also "./test/sim -seeds 8" -also ./test/service ./processor
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// survivors lists the mutants that may live: under each package, the text of each.
//
//go:embed survivors.md
var survivors string

func main() {
	every := flag.Int("every", 1, "try one mutant in so many")
	timeout := flag.Duration("timeout", 5*time.Minute, "time for a run of tests; a mutant that takes longer is noticed")
	var also [][]string
	flag.Func("also", "another suite, as arguments of go test; may be repeated", func(s string) error {
		also = append(also, strings.Fields(s))
		return nil
	})
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, flag.Args(), also, *every, *timeout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, packages []string, also [][]string, every int, timeout time.Duration) (err error) {
	if len(packages) == 0 || every < 1 {
		return errors.New("name packages, such as ./processor/queue; -every is at least 1")
	}
	dir, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// A copy stays the same while somebody goes on with the code, and the examples on which
	// rapid saw a mutant fail are not there for the next one.
	if err := os.CopyFS(dir, os.DirFS(".")); err != nil {
		return err
	}
	unlisted := 0
	for _, pkg := range packages {
		all, err := mutantsOf(pkg)
		if err != nil {
			return err
		}
		suites := append([][]string{{pkg}}, also...)
		for _, suite := range suites {
			if out, err := test(ctx, dir, suite, timeout); err != nil {
				return fmt.Errorf("%s fails without a change:\n%s", strings.Join(suite, " "), out)
			}
		}
		listed := listOf(survivors)[filepath.ToSlash(filepath.Clean(pkg))]
		killed, lived := 0, 0
		for i, m := range all {
			if i%every != 0 {
				continue
			}
			noticed, viable, err := m.try(ctx, dir, suites, timeout)
			switch {
			case err != nil:
				return err
			case viable && noticed:
				killed++
			case viable:
				lived++
				if !slices.Contains(listed, m.text()) {
					unlisted++
					fmt.Println("lived:", &m)
				}
			}
		}
		fmt.Printf("%s: %d of %d mutants were noticed (%.0f %%)\n", pkg, killed, killed+lived, 100*float64(killed)/float64(max(killed+lived, 1)))
	}
	if unlisted > 0 {
		return fmt.Errorf("%d mutants lived that test/mutants/survivors.md does not list: test what they change, delete what they show to be needless, or list them", unlisted)
	}
	return nil
}

// listOf returns the mutants that a list has, by package.
func listOf(list string) map[string][]string {
	all := make(map[string][]string)
	pkg := ""
	for line := range strings.Lines(list) {
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			pkg = strings.TrimSpace(heading)
		} else if entry, ok := strings.CutPrefix(line, "- `"); ok {
			text, _, _ := strings.Cut(entry, "`: ")
			all[pkg] = append(all[pkg], text)
		}
	}
	return all
}

// mutant is one change: the text of a file from a byte up to another is replaced.
type mutant struct {
	file     string
	in       string // the function
	source   []byte
	place    token.Position
	from, to int
	with     string
}

func (m *mutant) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", m.file, m.place.Line, m.place.Column, m.text())
}

// text returns the function and the line as it is changed, which stay the same as other
// lines come and go.
func (m *mutant) text() string {
	line := m.from - m.place.Column + 1
	rest, _, _ := strings.Cut(string(m.source[m.to:]), "\n")
	text := strings.TrimSpace(string(m.source[line:m.from]) + m.with + rest)
	if text == "" {
		gone, _, _ := strings.Cut(string(m.source[m.from:m.to]), "\n")
		text = "without " + gone
	}
	return m.in + ": " + text
}

// try runs the suites with the change in dir, a copy of the module, until one notices it.
func (m *mutant) try(ctx context.Context, dir string, suites [][]string, timeout time.Duration) (noticed, viable bool, err error) {
	file := filepath.Join(dir, m.file)
	if err := os.WriteFile(file, slices.Concat(m.source[:m.from], []byte(m.with), m.source[m.to:]), 0o600); err != nil {
		return false, false, err
	}
	defer func() {
		err = errors.Join(err, os.WriteFile(file, m.source, 0o600), os.RemoveAll(filepath.Join(filepath.Dir(file), "testdata", "rapid")))
	}()
	for _, suite := range suites {
		out, err := test(ctx, dir, suite, timeout)
		switch {
		case ctx.Err() != nil:
			return false, false, ctx.Err()
		case strings.Contains(out, "[build failed]"), strings.Contains(out, "[setup failed]"):
			return false, false, nil
		case err != nil:
			return true, true, nil
		}
	}
	return false, true, nil
}

// test runs tests of the module in dir.
func test(ctx context.Context, dir string, suite []string, timeout time.Duration) (out string, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout+time.Minute) // which also builds
	defer cancel()
	args := []string{"test", "-vet=off", "-failfast", "-count=1", "-timeout", timeout.String()}
	cmd := exec.CommandContext(ctx, "go", append(args, suite...)...) //nolint:gosec // what the user asked for
	cmd.Dir = dir
	text, err := cmd.CombinedOutput()
	return string(text), err
}

// mutantsOf returns the mutants of a package, which is named by its folder.
func mutantsOf(dir string) (all []mutant, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		set := token.NewFileSet()
		tree, err := parser.ParseFile(set, file, source, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		in := ""
		ast.Inspect(tree, func(n ast.Node) bool {
			if f, ok := n.(*ast.FuncDecl); ok {
				in = f.Name.Name
			}
			for _, c := range changesOf(n) {
				place := set.Position(c.from)
				all = append(all, mutant{file: file, in: in, source: source, place: place, from: place.Offset, to: place.Offset + c.length, with: c.with})
			}
			return true
		})
	}
	return all, nil
}

// change replaces a part of a node.
type change struct {
	from   token.Pos
	length int
	with   string
}

// others are what an operator becomes.
var others = map[string][]string{
	"==": {"!="}, "!=": {"=="}, "<": {"<=", ">="}, "<=": {"<", ">"}, ">": {">=", "<="}, ">=": {">", "<"},
	"&&": {"||"}, "||": {"&&"}, "+": {"-"}, "-": {"+"}, "*": {"/"}, "/": {"*"},
	"++": {"--"}, "--": {"++"}, "+=": {"-="}, "-=": {"+="},
}

// changesOf returns the changes of a node: other operators, a truth that is reversed, and
// a call that is left out.
func changesOf(n ast.Node) (all []change) {
	operator := func(at token.Pos, op token.Token) {
		for _, other := range others[op.String()] {
			all = append(all, change{at, len(op.String()), other})
		}
	}
	switch n := n.(type) {
	case *ast.BinaryExpr:
		operator(n.OpPos, n.Op)
	case *ast.IncDecStmt:
		operator(n.TokPos, n.Tok)
	case *ast.AssignStmt:
		operator(n.TokPos, n.Tok)
	case *ast.UnaryExpr:
		if n.Op == token.NOT {
			all = append(all, change{n.OpPos, 1, ""})
		}
	case *ast.Ident:
		if with, ok := map[string]string{"true": "false", "false": "true"}[n.Name]; ok {
			all = append(all, change{n.Pos(), len(n.Name), with})
		}
	case *ast.ExprStmt:
		all = append(all, change{n.Pos(), int(n.End() - n.Pos()), ""})
	}
	return all
}
