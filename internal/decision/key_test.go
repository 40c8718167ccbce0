package decision_test

import (
	"strings"
	"testing"

	"verdict/internal/decision"
)

// keyed returns a decision that names its task by the member task.
func keyed(task string) string {
	return `{"profile_id":"` + profileID + `","task":` + task + `,"state":"COMPLETED_PASS"}`
}

func TestDecodeReadsTaskByAliasOrType(t *testing.T) {
	for task, want := range map[string]decision.Key{
		`{"alias":"identity"}`:                         {Alias: "identity"},
		`{"type":"INDIVIDUAL_VERIFY_IDENTITY"}`:        {Type: "INDIVIDUAL_VERIFY_IDENTITY"},
		`{"alias":null,"type":"T"}`:                    {Type: "T"},
		`{ "alias" : "\u00fcber {uns}" }`:              {Alias: "über {uns}"},
		`{"alias":"` + strings.Repeat("ü", 256) + `"}`: {Alias: strings.Repeat("ü", 256)},
		`{"alias":"x","type":null}`:                    {Alias: "x"},
	} {
		d, err := decision.Decode(record(keyed(task)))
		if err != nil || d.Key != want || d.Task != (decision.Task{ProfileID: profileID}) {
			t.Errorf("%s: got %+v, %v", task, d, err)
		}
	}
	if got := (decision.Key{Alias: "a\nb"}).String() + ", " + (decision.Key{Type: "T"}).String(); got != `alias "a\nb", type "T"` {
		t.Error(got)
	}
}

func TestDecodeBoundsFaultsOfAHostileTask(t *testing.T) {
	_, err := decision.Decode(record(keyed(`{` + strings.Repeat(`"x":1,"alias":2,`, 2000) + `"type":1}`)))
	if len(err.Error()) > 2048 {
		t.Errorf("%d bytes", len(err.Error()))
	}
}
