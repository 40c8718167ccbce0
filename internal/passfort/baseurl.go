package passfort

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// CheckBaseURL says what is wrong with raw as the URL of the API. Because every
// request carries the key, it accepts plain http only for a loopback host
// (127.0.0.0/8, ::1, localhost), or with allowHTTP. The error never repeats a
// password.
func CheckBaseURL(raw string, allowHTTP bool) error {
	_, err := parseBaseURL(raw, allowHTTP)
	return err
}

// parseBaseURL parses and checks raw, and removes a slash at its end so that a path
// can follow.
func parseBaseURL(raw string, allowHTTP bool) (*url.URL, error) {
	const want = "want a URL such as https://api.passfort.com/4.0"
	if raw == "" {
		return nil, errors.New("missing, " + want)
	}
	if strings.Contains(raw, "@") { // not repeated: it may contain a password
		return nil, errors.New("contains a user name or password, " + want + "; the API key has its own setting")
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%q is not a URL, %s", raw, want)
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("%q is neither https nor http, %s", raw, want)
	case u.Hostname() == "" || u.Opaque != "":
		return nil, fmt.Errorf("%q has no host, %s", raw, want)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(raw, "#"):
		return nil, fmt.Errorf("%q has a query or fragment, %s", raw, want)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, fmt.Errorf("%q has a port out of range, want 1 to 65535", raw)
		}
	}
	if u.Scheme == "http" && !allowHTTP && !isLoopback(u.Hostname()) {
		return nil, fmt.Errorf("%q would send the API key unencrypted to another machine, want https, or plain http explicitly allowed", raw)
	}
	u = u.JoinPath() // removes dot segments and double slashes
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), strings.TrimSuffix(u.RawPath, "/")
	return u, nil
}

// isLoopback reports whether host is this machine. It does not resolve names.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
