package cli

import (
	"encoding/json"

	"verdict/configs"
)

// memberInfo is what an instance tells the group of itself, so that `verdict
// check` can see members that do not go together. A later version may tell more.
type memberInfo struct {
	Version   string  `json:"version"`
	Revision  string  `json:"revision,omitempty"`
	RateLimit float64 `json:"rate_limit"`
	Scope     string  `json:"rate_limit_scope"`
}

func memberOf(cfg configs.Config) memberInfo {
	b := build()
	return memberInfo{Version: b.Version, Revision: b.Revision, RateLimit: cfg.API.RateLimit, Scope: string(cfg.API.RateLimitScope)}
}

// aboutMember is memberOf in the form in which it travels.
func aboutMember(cfg configs.Config) []byte {
	data, err := json.Marshal(memberOf(cfg))
	if err != nil {
		return nil // a rate that is no number, which validation does not let through
	}
	return data
}

// readMember reads what a member told; false: nothing, or another program's word.
func readMember(data []byte) (memberInfo, bool) {
	var m memberInfo
	return m, json.Unmarshal(data, &m) == nil && m.Version != ""
}
