package decision_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"verdict/internal/decision"
)

// constantsByType returns the package's typed constants, by type and in the order
// of the source: the value of a string constant, the name of any other.
func constantsByType(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	constants := make(map[string][]string)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			decl, ok := d.(*ast.GenDecl)
			if !ok || decl.Tok != token.CONST {
				continue
			}
			kind := "" // the type of the constants that repeat iota
			for _, s := range decl.Specs {
				spec := s.(*ast.ValueSpec)
				if id, ok := spec.Type.(*ast.Ident); ok {
					kind = id.Name
				} else if len(spec.Values) > 0 {
					kind = ""
				}
				if kind == "" {
					continue
				}
				for i, id := range spec.Names {
					value := id.Name
					if len(spec.Values) > i {
						if lit, ok := spec.Values[i].(*ast.BasicLit); ok {
							if value, err = strconv.Unquote(lit.Value); err != nil {
								t.Fatal(err)
							}
						}
					}
					constants[kind] = append(constants[kind], value)
				}
			}
		}
	}
	return constants
}

func texts[T ~string](set []T) []string {
	all := make([]string, len(set))
	for i, v := range set {
		all[i] = string(v)
	}
	return all
}

func TestClosedSetsListEveryConstant(t *testing.T) {
	constants := constantsByType(t)
	listed := map[string][]string{
		"Outcome":        texts(decision.Outcomes[:]),
		"Reason":         texts(decision.Reasons[:]),
		"RetryCause":     texts(decision.RetryCauses[:]),
		"PauseCause":     texts(decision.PauseCauses[:]),
		"LanePauseCause": texts(decision.LanePauseCauses[:]),
		"CheckResult":    texts(decision.CheckResults[:]),
		"CheckEffect":    texts(decision.CheckEffects[:]),
		"Preflight":      decision.Preflight("").Choices(),
		"OnConflict":     decision.OnConflict("").Choices(),
		"Format":         decision.Format("").Choices(),
	}
	for name, list := range listed {
		if !slices.Equal(list, constants[name]) {
			t.Errorf("%s: the list has %q, the constants are %q", name, list, constants[name])
		}
	}

	var lanes []string
	for _, lane := range decision.Lanes {
		lanes = append(lanes, lane.String())
	}
	for i, name := range constants["Lane"] {
		constants["Lane"][i] = strings.ToLower(name)
	}
	if !slices.Equal(lanes, constants["Lane"]) {
		t.Errorf("Lane: the list has %q, the constants are %q", lanes, constants["Lane"])
	}

	// Add a new closed set above, or here with the reason why it needs no list.
	unlisted := []string{
		"State",          // not closed: the API may know more
		"ProfileOutcome", // no code needs them all
		"Lane",           // compared above
	}
	for name := range constants {
		if listed[name] == nil && !slices.Contains(unlisted, name) {
			t.Errorf("the constants of type %s are in no list", name)
		}
	}
}
