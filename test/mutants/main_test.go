package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestMutantsAreNoticedOrListed tries the mutants of a package of which one branch is not
// tested.
func TestMutantsAreNoticedOrListed(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"go.mod": "module m\n\ngo 1.24\n",
		"m.go": `package m

func Less(a, b int) bool {
	switch {
	case a < b:
		return true
	}
	return false
}
`,
		"m_test.go": `package m

import "testing"

func TestLess(t *testing.T) {
	if !Less(1, 2) || Less(2, 1) {
		t.Fail()
	}
}
`,
	} {
		if err := os.WriteFile(filepath.Base(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, err := mutantsOf(".")
	if err != nil || len(all) != 4 {
		t.Fatalf("%v, %v", all, err)
	}
	var lived []string
	for _, m := range all {
		noticed, viable, err := m.try(t.Context(), ".", [][]string{{"."}}, time.Minute)
		if err != nil || !viable {
			t.Errorf("%s: viable %v, %v", &m, viable, err)
		}
		if !noticed {
			lived = append(lived, m.String())
		}
	}
	if want := []string{"m.go:5:9: Less: case a <= b:"}; !slices.Equal(lived, want) {
		t.Errorf("lived: %q, want %q", lived, want)
	}
}

// TestListedSurvivorsAreMutants finds what the list has in the code that is there now.
func TestListedSurvivorsAreMutants(t *testing.T) {
	for pkg, listed := range listOf(survivors) {
		all, err := mutantsOf(filepath.Join("..", "..", pkg))
		if err != nil || len(all) == 0 {
			t.Errorf("%s has %d mutants, %v", pkg, len(all), err)
		}
		for _, text := range listed {
			if !slices.ContainsFunc(all, func(m mutant) bool { return m.text() == text }) {
				t.Errorf("%s has no mutant %q", pkg, text)
			}
		}
	}
}
