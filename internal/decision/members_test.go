package decision_test

import (
	"slices"
	"testing"

	"verdict/internal/decision"
)

func TestMembersKeepsOrderRepeatsAndEveryByte(t *testing.T) {
	var got []string
	ok := decision.Members([]byte(" {\"b\": 1.50 ,\"a\":\t{ \"x\":[ ] },\"\\u0062\":\"\\\"}\",\"\":null}\n"), func(name, raw []byte) {
		got = append(got, string(name), string(raw))
	})
	if want := []string{"b", "1.50", "a", `{ "x":[ ] }`, "b", `"\"}"`, "", "null"}; !ok || !slices.Equal(got, want) {
		t.Errorf("got %t, %q", ok, got)
	}
	for _, value := range []string{"", "null", "[1]", "{", `{"a":1}{}`, `"{"`} {
		if decision.Members([]byte(value), func(name, _ []byte) { t.Errorf("%s: called with %s", value, name) }) {
			t.Errorf("%q was read as an object", value)
		}
	}
}
