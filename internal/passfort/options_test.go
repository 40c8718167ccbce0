package passfort_test

import (
	"strings"
	"testing"

	"verdict/internal/passfort"
)

func TestCheckBaseURLAllowsPlainHTTPForLoopback(t *testing.T) {
	for _, url := range []string{
		"https://api.passfort.com/4.0", "https://api.passfort.com", "https://[2001:db8::1]:8443/4.0/",
		"http://localhost:8081/4.0", "http://LOCALHOST/4.0", "http://127.0.0.1:1/4.0", "http://127.9.8.7/4.0", "http://[::1]:8081/4.0",
	} {
		if err := passfort.CheckBaseURL(url, false); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, url := range []string{"http://api.passfort.com/4.0", "http://10.0.0.1", "http://localhost.example.com", "http://127.0.0.1.example.com"} {
		if err := passfort.CheckBaseURL(url, false); err == nil || !strings.Contains(err.Error(), "unencrypted") {
			t.Errorf("%s: %v", url, err)
		}
		if err := passfort.CheckBaseURL(url, true); err != nil {
			t.Errorf("%s, allowed: %v", url, err)
		}
	}
}

func TestCheckBaseURLRejectsInvalidURLs(t *testing.T) {
	for _, url := range []string{
		"", "api.passfort.com", "ftp://api.passfort.com", "https://", "https:///4.0", "https:api.passfort.com", "//api.passfort.com/4.0",
		"https://api.passfort.com/4.0?a=b", "https://api.passfort.com/4.0#", "https://api.passfort.com:99999/", "https://api.passfort.com:x/",
		"https://api.passfort.com/\x00", "https://user:hunter2@api.passfort.com/4.0", "https://user:hunter2@:%%/4.0",
	} {
		err := passfort.CheckBaseURL(url, true)
		if err == nil {
			t.Errorf("%q was accepted", url)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error contains a password: %v", err)
		}
	}
}

func TestNewNamesTheBadOption(t *testing.T) {
	good := options("https://api.passfort.com/4.0")
	if _, err := passfort.New(good); err != nil {
		t.Fatal(err)
	}
	for field, change := range map[string]func(*passfort.Options){
		"BaseURL":          func(o *passfort.Options) { o.BaseURL = "" },
		"Key":              func(o *passfort.Options) { o.Key = nil },
		"Timeout":          func(o *passfort.Options) { o.Timeout = 0 },
		"MaxConnections":   func(o *passfort.Options) { o.MaxConnections = 0 },
		"MaxConnectionAge": func(o *passfort.Options) { o.MaxConnectionAge = -1 },
		"UserAgent":        func(o *passfort.Options) { o.UserAgent = "a\r\nb" },
	} {
		o := good
		change(&o)
		if _, err := passfort.New(o); err == nil || !strings.Contains(err.Error(), field+": ") {
			t.Errorf("%s: %v", field, err)
		}
	}
}
