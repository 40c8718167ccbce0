package policy

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"verdict/internal/decision"
)

// faultsOf returns every fault of a policy file, one per line.
func faultsOf(text string) string {
	_, faults := Parse("p.yaml", []byte(text))
	lines := make([]string, len(faults))
	for i, f := range faults {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

func TestDefaultPassesOnPassAndFailsOnTheThirdFail(t *testing.T) {
	set := Default()
	if len(set.policies) != 1 || set.ForgetAfter != 90*24*time.Hour {
		t.Fatalf("%+v", set)
	}
	p := set.match(&Task{ProfileID: "p", TaskID: "t"})
	if p == nil || p.times != 3 || p.consecutive || p.reopen {
		t.Fatalf("%+v", p)
	}
	want := map[decision.CheckResult]meaning{
		decision.CheckPass: passes, decision.CheckFail: fails,
		decision.CheckPartial: ignored, decision.CheckWarn: ignored, decision.CheckError: ignored,
	}
	for r, m := range want {
		if got := p.meaningOf(r); got != m {
			t.Errorf("%s means %d, want %d", r, got, m)
		}
	}
}

func TestMatchReturnsTheFirstPolicyThatMatches(t *testing.T) {
	set, faults := Parse("p.yaml", []byte(`
policies:
  - match: {type: INDIVIDUAL_VERIFY_IDENTITY, alias: docs}
    fail: {on: [FAIL], times: 5}
  - match: {type: INDIVIDUAL_VERIFY_IDENTITY}
    fail: {on: [FAIL], times: 4}
  - match: {alias: address}
    fail: {on: [FAIL], times: 2, consecutive: true}
    reopen: true
  - pass: {on: [PASS, PARTIAL]}
forget_after: 36h
`))
	if faults != nil {
		t.Fatal(faults)
	}
	for _, c := range []struct {
		task  Task
		times int // 0: the last policy, which fails nothing
	}{
		{Task{Type: "INDIVIDUAL_VERIFY_IDENTITY", Alias: "docs"}, 5},
		{Task{Type: "INDIVIDUAL_VERIFY_IDENTITY", Alias: "address"}, 4},
		{Task{Type: "INDIVIDUAL_VERIFY_IDENTITY"}, 4},
		{Task{Alias: "address"}, 2},
		{Task{Type: "OTHER"}, 0},
		{Task{TaskID: "without type and alias"}, 0},
	} {
		p := set.match(&c.task)
		if p == nil || p.times != c.times {
			t.Errorf("%+v: %+v, want times %d", c.task, p, c.times)
		}
	}
	if set.ForgetAfter != 36*time.Hour {
		t.Errorf("forget_after %v", set.ForgetAfter)
	}
}

func TestParseNamesEveryFaultWithItsLine(t *testing.T) {
	text, err := os.ReadFile("testdata/faults.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/faults.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got := faultsOf(string(text)) + "\n"; got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestParseRefusesOtherFiles(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "p.yaml: is empty; give policies",
		"# nothing\n":                  "p.yaml: is empty; give policies",
		"policies: []":                 "p.yaml:1: policies: has 0 policies; give 1 to 1000",
		"policies: {a: b}":             "p.yaml:1: policies: must be a list, has keys below it; write each policy as - match: …",
		"policies:":                    "p.yaml:1: policies: has no value",
		"forget_after: 2h":             "p.yaml:1: policies: missing; give a list of at least one policy",
		"- a":                          "p.yaml:1: must have keys, is a list; it takes policies, forget_after",
		"policies:\n  - &a [*a]":       "p.yaml:2: policies[0]: must have keys, is a list",
		"policies: [\n":                "p.yaml:1: is not YAML: did not find expected node content",
		"a: b: c":                      "is not YAML: mapping values are not allowed",
		"policies: *x":                 "p.yaml: is not YAML: unknown anchor 'x' referenced",
		strings.Repeat("#\n", 150<<10): "p.yaml: has more than 256 KiB; is it the right file?",
		"policies: [{pass: {on: [PASS]}}]\n---\na: b": "p.yaml: has a second document",
	} {
		if got := faultsOf(text); !strings.Contains(got, want) {
			t.Errorf("%.40q: %q, want %q", text, got, want)
		}
	}
}

func TestParseReadsForgetAfterWithUnits(t *testing.T) {
	for text, want := range map[string]time.Duration{"0": 0, "1h": time.Hour, "7d": 7 * 24 * time.Hour, "100h30m": 100*time.Hour + 30*time.Minute} {
		set, faults := Parse("p.yaml", fmt.Appendf(nil, "forget_after: %s\npolicies: [{pass: {on: [PASS]}}]", text))
		if faults != nil || set.ForgetAfter != want {
			t.Errorf("%s: %v, %v", text, set.ForgetAfter, faults)
		}
	}
	for _, text := range []string{"59m", "90", "-1d", "d", "1.5d", "99999999999d", "forever", "[1h]", "-3h"} {
		if got := faultsOf("policies: [{pass: {on: [PASS]}}]\nforget_after: " + text); !strings.HasPrefix(got, "p.yaml:2: forget_after: ") {
			t.Errorf("%s: %q", text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, file := range []string{"default.yaml", "testdata/faults.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		set, faults := Parse("p.yaml", text)
		if len(faults) == 0 && len(set.policies) == 0 {
			t.Fatal("no policies and no faults")
		}
		for _, fault := range faults {
			if s := fault.Error(); len(s) > 2000 || strings.ContainsAny(s, "\n\r\x00") {
				t.Fatalf("a fault that is not one short line: %q", s)
			}
		}
		for i := range set.policies {
			p := &set.policies[i]
			if p.meaningOf(decision.CheckError) == fails || p.meaningOf(decision.CheckError) == passes {
				t.Fatal("ERROR decides")
			}
			if len(p.fail) > 0 && (p.times < 1 || p.times > maxTimes) {
				t.Fatalf("times %d", p.times)
			}
		}
	})
}
