package decision_test

import (
	"strings"
	"testing"

	"verdict/internal/decision"
)

func TestParseOriginReadsString(t *testing.T) {
	o := decision.Position{Topic: "a.b-c_1", Partition: 12, Offset: 1 << 40}
	if got, ok := decision.ParsePosition(o.String()); !ok || got != o {
		t.Errorf("%v, %v", got, ok)
	}
	for _, bad := range []string{"", "a", "a/1", "/1/2", "a/1/2/3", "a/-1/2", "a/1/-2", "a/1/x", "a/9999999999/1", "a/1/99999999999999999999", strings.Repeat("a", 300) + "/1/2"} {
		if got, ok := decision.ParsePosition(bad); ok {
			t.Errorf("%q gave %v", bad, got)
		}
	}
}
