package app

import (
	"encoding/json"

	"verdict/configs"
)

// Member is what an instance tells the group of itself, so that `verdict
// check` can see members that do not go together. A later version may tell more.
type Member struct {
	Version   string  `json:"version"`
	Revision  string  `json:"revision,omitempty"`
	RateLimit float64 `json:"rate_limit"`
	Scope     string  `json:"rate_limit_scope"`
}

func MemberOf(cfg configs.Config) Member {
	b := Build()
	return Member{Version: b.Version, Revision: b.Revision, RateLimit: cfg.API.RateLimit, Scope: string(cfg.API.RateLimitScope)}
}

// AboutMember is MemberOf in the form in which it travels.
func AboutMember(cfg configs.Config) []byte {
	data, err := json.Marshal(MemberOf(cfg))
	if err != nil {
		return nil // a rate that is no number, which validation does not let through
	}
	return data
}

// ReadMember reads what a member told; false: nothing, or another program's word.
func ReadMember(data []byte) (Member, bool) {
	var m Member
	return m, json.Unmarshal(data, &m) == nil && m.Version != ""
}
