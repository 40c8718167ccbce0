package passfort

import (
	"testing"
)

func TestKindNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for k := KindTimeout; k <= KindCanceled; k++ {
		if s := k.String(); s == "" || seen[s] {
			t.Errorf("kind %d is named %q", k, s)
		} else {
			seen[s] = true
		}
	}
	if s := Kind(200).String(); s != "kind(200)" {
		t.Errorf("unknown kind is %q", s)
	}
}
