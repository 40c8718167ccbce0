package app

import (
	"encoding/json"

	"verdict/configs"
)

// Member is what an instance states about itself in the group protocol's user data, so
// that `verdict check` can see members that differ. A later version may state more.
type Member struct {
	Version   string  `json:"version"`
	Revision  string  `json:"revision,omitempty"`
	RateLimit float64 `json:"rate_limit"`
	Scope     string  `json:"rate_limit_scope"`
}

// MemberOf returns the Member of an instance of this program with a configuration.
func MemberOf(cfg configs.Config) Member {
	b := Build()
	return Member{Version: b.Version, Revision: b.Revision, RateLimit: cfg.API.RateLimit, Scope: string(cfg.API.RateLimitScope)}
}

// ReadMember reads a member's user data. It returns false for data of another program,
// or none.
func ReadMember(data []byte) (Member, bool) {
	var m Member
	return m, json.Unmarshal(data, &m) == nil && m.Version != ""
}

// encode returns the user data that ReadMember reads.
func (m Member) encode() []byte {
	data, err := json.Marshal(m)
	if err != nil {
		return nil // a rate that is no number, which validation rejects
	}
	return data
}
