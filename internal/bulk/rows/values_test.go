package rows_test

import (
	"maps"
	"strings"
	"testing"

	"verdict/internal/bulk/rows"
	"verdict/internal/decision"
)

func TestParseValuesSplitsPairs(t *testing.T) {
	for pairs, want := range map[string]map[string]string{
		"Pass=P,Fail=F":          {"Pass": "P", "Fail": "F"},
		" Pass = P , not ok = F": {"Pass": "P", "not ok": "F"},
		"Pass, with notes=P,x=F": {"Pass, with notes": "P", "x": "F"},
		"a=b=P":                  {"a=b": "P"},
		"Pass=P,Pass=P":          {"Pass": "P"},
	} {
		got := map[string]string{}
		if err := rows.ParseValues(got, pairs); err != nil || !maps.Equal(got, want) {
			t.Errorf("%s: %v, %v", pairs, got, err)
		}
	}
	for pairs, want := range map[string]string{
		"Pass":          `must be TEXT=STATE, is "Pass"`,
		"Pass=P,Fail":   `must be TEXT=STATE, is "Fail"`,
		"=P":            "an empty cell can't be given a state",
		"Pass=P,Pass=F": `"Pass" is given twice, as P and as F`,
	} {
		if err := rows.ParseValues(map[string]string{}, pairs); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", pairs, err)
		}
	}
}

func TestValidateRefusesValuesThatContradict(t *testing.T) {
	o := rows.Options{Values: map[string]string{"ok": "COMPLETED_PASS", "OK": "COMPLETED_FAIL", "x": "pass", "COMPLETED_PASS": "COMPLETED_FAIL"}}
	err := o.Validate()
	for _, want := range []string{`"OK" and "ok" differ in case alone`, `"x" must become COMPLETED_PASS or COMPLETED_FAIL, not "pass"`, "COMPLETED_PASS is a state, and can't mean COMPLETED_FAIL"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
}

// --set took the place of what rows say, so that every Fail became a Pass.
func TestCheckRefusesToSetOverValues(t *testing.T) {
	file := row("a", 1, decision.CompletedPass) + row("b", 2, decision.CompletedFail)
	set := rows.Options{Set: map[string]string{"state": "COMPLETED_PASS"}}
	in := openFiles(t, "", file)
	_, err := rows.Check(t.Context(), in, rows.CheckOptions{Rows: set, TempDir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), `--set state=COMPLETED_PASS would replace 1 values of state, the first in line 2: "COMPLETED_FAIL" (1)`) {
		t.Error(err)
	}
	b := check(t, in, rows.CheckOptions{Rows: set, Override: true})
	if len(b.Warnings) != 1 || !strings.Contains(b.Warnings[0], `replaced 1 values of state: "COMPLETED_FAIL" (1)`) {
		t.Errorf("%q", b.Warnings)
	}
	// The batch's ID takes the place of every row's, as it is meant to.
	check(t, openFiles(t, "", strings.ReplaceAll(file, `{"id"`, `{"batch_id":"old","id"`)), rows.CheckOptions{BatchID: "new"})
}

func TestCheckNamesWordsOfValuesThatNoRowHas(t *testing.T) {
	b := check(t, openFiles(t, "", row("a", 1, "passed")), rows.CheckOptions{Rows: rows.Options{Values: map[string]string{"PASSED": "COMPLETED_PASS", "Failed": "COMPLETED_FAIL"}}})
	if b.Size() != 1 || len(b.Warnings) != 1 || b.Warnings[0] != `values: no row says "Failed"` {
		t.Errorf("%d, %q", b.Size(), b.Warnings)
	}
	if flags := b.Flags(); flags != `--values "Failed=COMPLETED_FAIL" --values "PASSED=COMPLETED_PASS"` {
		t.Error(flags)
	}
}
