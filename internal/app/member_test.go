package app

import (
	"testing"

	"verdict/configs"
)

func TestReadMemberToleratesOtherPrograms(t *testing.T) {
	for data, want := range map[string]bool{
		"": false, "\x00\x01": false, "{}": false, "[]": false, `"x"`: false, `{"version":7}`: false,
		`{"version":"2","rate_limit":9,"more":[1]}`: true,
	} {
		if _, ok := ReadMember([]byte(data)); ok != want {
			t.Errorf("%q: %v", data, ok)
		}
	}
	if m, ok := ReadMember(MemberOf(configs.Default()).encode()); !ok || m != MemberOf(configs.Default()) {
		t.Errorf("this program's: %+v, %v", m, ok)
	}
}
