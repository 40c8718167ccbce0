package passfort

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// The table of failures, read from the outside: each row is a promise to the
// caller.
func TestEachFailureHasItsKindAndSaysWhetherTheServerMayHaveActed(t *testing.T) {
	codes := func(c ...int) finding { return finding{faulty: true, codes: c} }
	with := func(f finding, status int) finding { f.status = status; return f }
	for name, c := range map[string]struct {
		f         finding
		kind      Kind
		maybeSent bool
	}{
		"success":                           {finding{status: 200, sent: true}, 0, false},
		"created":                           {finding{status: 201, sent: true}, 0, false},
		"not reached":                       {finding{}, KindConnection, false},
		"cut":                               {finding{sent: true}, KindConnection, true},
		"no connection in time":             {finding{timedOut: true}, KindTimeout, false},
		"no answer in time":                 {finding{timedOut: true, sent: true}, KindTimeout, true},
		"caller gone before sending":        {finding{canceled: true}, KindCanceled, false},
		"caller gone after sending":         {finding{canceled: true, sent: true}, KindCanceled, true},
		"caller gone in a 2xx body":         {finding{status: 200, canceled: true, unread: true, sent: true}, KindCanceled, true},
		"caller gone in a 404 body":         {finding{status: 404, canceled: true, unread: true, sent: true}, KindNotFound, false},
		"time over in a 2xx body":           {finding{status: 200, timedOut: true, unread: true, sent: true}, KindUnconfirmed, true},
		"time over in a 429 body":           {finding{status: 429, timedOut: true, unread: true, sent: true}, KindThrottled, false},
		"unreadable 2xx":                    {finding{status: 204, unread: true, sent: true}, KindUnconfirmed, true},
		"error in a 2xx":                    {with(codes(), 200), KindRejected, false},
		"chargeable limit in a 2xx":         {with(codes(104), 201), KindRejected, false},
		"invalid key in a 2xx":              {with(codes(204), 200), KindKey, false},
		"invalid key in a 500":              {with(codes(7, 204), 500), KindKey, false},
		"invalid key in a 404":              {with(codes(204), 404), KindKey, false},
		"invalid input in a 500":            {with(codes(201), 500), KindServer, true},
		"invalid input in a 408":            {with(codes(201), 408), KindTimeout, false},
		"invalid input in a 404":            {with(codes(201), 404), KindNotFound, false},
		"invalid input in a 400":            {with(codes(201), 400), KindRejected, false},
		"chargeable limit in a 403":         {with(codes(104), 403), KindKey, false},
		"throttled whatever the body says":  {with(codes(104, 201), 429), KindThrottled, false},
		"unknown code is judged by status":  {with(codes(999), 503), KindServer, false},
		"bad request":                       {finding{status: 400, sent: true}, KindRejected, false},
		"unauthorized":                      {finding{status: 401, sent: true}, KindKey, false},
		"forbidden":                         {finding{status: 403, sent: true}, KindKey, false},
		"not found":                         {finding{status: 404, sent: true}, KindNotFound, false},
		"request timeout":                   {finding{status: 408, sent: true}, KindTimeout, false},
		"conflict":                          {finding{status: 409, sent: true}, KindRejected, false},
		"precondition failed":               {finding{status: 412, sent: true}, KindRejected, false},
		"teapot":                            {finding{status: 418, sent: true}, KindRejected, false},
		"unprocessable":                     {finding{status: 422, sent: true}, KindRejected, false},
		"throttled":                         {finding{status: 429, sent: true}, KindThrottled, false},
		"internal":                          {finding{status: 500, sent: true}, KindServer, true},
		"bad gateway":                       {finding{status: 502, sent: true}, KindServer, true},
		"unavailable":                       {finding{status: 503, sent: true}, KindServer, false},
		"gateway timeout":                   {finding{status: 504, sent: true}, KindServer, true},
		"unknown 5xx":                       {finding{status: 599, sent: true}, KindServer, true},
		"redirect":                          {finding{status: 307, sent: true}, KindRejected, false},
		"switching protocols":               {finding{status: 101, sent: true}, KindRejected, false},
		"a status that HTTP does not know":  {finding{status: 799, sent: true}, KindRejected, false},
		"zero-like status of a bad gateway": {finding{status: 600, sent: true}, KindRejected, false},
	} {
		kind, maybeSent := classify(c.f)
		if kind != c.kind || maybeSent != c.maybeSent {
			t.Errorf("%s: %s, maybe sent %t; want %s, %t", name, kind, maybeSent, c.kind, c.maybeSent)
		}
	}
}

func TestEachKindHasItsOwnName(t *testing.T) {
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

func FuzzMessagesAreOneBoundedLineWithoutTheKey(f *testing.F) {
	f.Add("unknown task\r\n\tof\x00this \xff profile", "s3cret-key")
	f.Add("your key is s3cret-key, really: s3cret-key", "s3cret-key")
	f.Add(`quoted \"a\"b`, `"a"b`)
	f.Add(strings.Repeat("x", maxMessage-3)+"s3cret-key", "s3cret-key")
	f.Fuzz(func(t *testing.T, text, key string) {
		// Below this length the key may come about by chance, in "[redacted]" too.
		if checkKey(key) != nil || len(key) < 8 || strings.Contains(redacted, key) {
			t.Skip()
		}
		got := clean(text, key)
		if len(got) > maxMessage || !utf8.ValidString(got) || strings.ContainsFunc(got, unicode.IsControl) {
			t.Errorf("not one bounded line: %q", got)
		}
		if strings.Contains(text, key) && strings.Contains(got, key) && !strings.Contains(key, "redacted") {
			t.Errorf("the key is in %q", got)
		}
	})
}
