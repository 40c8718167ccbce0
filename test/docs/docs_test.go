// Package docs_test checks that the documents point at things that exist (files,
// anchors and tests), and that they explain every outcome and reason.
package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"verdict/internal/decision"
)

const root = "../.."

var (
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	testName = regexp.MustCompile("`(Test[A-Z]\\w+)`")
	testFunc = regexp.MustCompile(`(?m)^func (Test[A-Z]\w+)\(`)
	heading  = regexp.MustCompile(`(?m)^#+ (.+)$`)
	noAnchor = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// documents returns the text of every document, by path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	paths := []string{"README.md", "DESIGN.md", "CHANGELOG.md"}
	more, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(more) == 0 {
		t.Fatalf("documents: %v, %v", more, err)
	}
	for _, p := range more {
		paths = append(paths, filepath.Join("docs", filepath.Base(p)))
	}
	all := make(map[string]string)
	for _, p := range paths {
		all[p] = read(t, filepath.Join(root, p))
	}
	return all
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// anchors returns the anchors of a document's headings, as GitHub makes them.
func anchors(text string) map[string]bool {
	found := make(map[string]bool)
	for _, h := range heading.FindAllStringSubmatch(text, -1) {
		a := noAnchor.ReplaceAllString(strings.ToLower(h[1]), "")
		found[strings.ReplaceAll(a, " ", "-")] = true
	}
	return found
}

func TestDocumentsLinkToWhatExists(t *testing.T) {
	links := 0
	for path, text := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			links++
			file, anchor, _ := strings.Cut(m[1], "#")
			target := filepath.Join(root, path)
			if file != "" {
				target = filepath.Join(root, filepath.Dir(path), file)
			}
			info, err := os.Stat(target)
			switch {
			case err != nil:
				t.Errorf("%s links to %s, which does not exist", path, m[1])
			case anchor != "" && (info.IsDir() || !anchors(read(t, target))[anchor]):
				t.Errorf("%s links to %s, which has no such heading", path, m[1])
			}
		}
	}
	if links == 0 {
		t.Error("no links found")
	}
}

func TestDocumentsNameTestsThatExist(t *testing.T) {
	exist := make(map[string]bool)
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		for _, m := range testFunc.FindAllStringSubmatch(read(t, path), -1) {
			exist[m[1]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for path, text := range documents(t) {
		for _, m := range testName.FindAllStringSubmatch(text, -1) {
			if named++; !exist[m[1]] {
				t.Errorf("%s names %s, which does not exist", path, m[1])
			}
		}
	}
	if named == 0 {
		t.Error("no test is named")
	}
}

func TestEventsExplainEveryOutcomeAndReason(t *testing.T) {
	text := documents(t)["docs/events.md"]
	explain := func(what, value string) {
		if !strings.Contains(text, "\n| `"+value+"` | ") {
			t.Errorf("docs/events.md has no row for the %s %s", what, value)
		}
	}
	for _, outcome := range decision.Outcomes {
		if outcome != decision.DeadLettered { // which has no result
			explain("outcome", string(outcome))
		}
	}
	for _, reason := range decision.Reasons {
		explain("reason", string(reason))
	}
}
