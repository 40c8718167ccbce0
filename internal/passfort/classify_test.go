package passfort

import (
	"testing"
)

// TestClassify spells out the table of failures: callers rely on each row.
func TestClassify(t *testing.T) {
	codes := func(c ...int) callResult { return callResult{hasErrors: true, codes: c} }
	foreign := func(status int) callResult { return callResult{status: status, foreign: true, sent: true} }
	with := func(f callResult, status int) callResult { f.status = status; return f }
	for name, c := range map[string]struct {
		f            callResult
		kind         Kind
		maybeApplied bool
	}{
		"success":                           {callResult{status: 200, sent: true}, 0, false},
		"created":                           {callResult{status: 201, sent: true}, 0, false},
		"not reached":                       {callResult{}, KindConnection, false},
		"cut":                               {callResult{sent: true}, KindConnection, true},
		"no connection in time":             {callResult{timedOut: true}, KindTimeout, false},
		"no answer in time":                 {callResult{timedOut: true, sent: true}, KindTimeout, true},
		"caller gone before sending":        {callResult{canceled: true}, KindCanceled, false},
		"caller gone after sending":         {callResult{canceled: true, sent: true}, KindCanceled, true},
		"caller gone in a 2xx body":         {callResult{status: 200, canceled: true, unreadable: true, sent: true}, KindCanceled, true},
		"caller gone in a 404 body":         {callResult{status: 404, canceled: true, unreadable: true, foreign: true, sent: true}, KindCanceled, true},
		"caller gone after a 404 body":      {callResult{status: 404, canceled: true, unreadable: true, sent: true}, KindNotFound, false},
		"time over in a 2xx body":           {callResult{status: 200, timedOut: true, unreadable: true, sent: true}, KindUnconfirmed, true},
		"time over in a 429 body":           {callResult{status: 429, timedOut: true, unreadable: true, sent: true}, KindThrottled, false},
		"unreadable 2xx":                    {callResult{status: 204, unreadable: true, sent: true}, KindUnconfirmed, true},
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
		"bad request":                       {callResult{status: 400, sent: true}, KindRejected, false},
		"unauthorized":                      {callResult{status: 401, sent: true}, KindKey, false},
		"forbidden":                         {callResult{status: 403, sent: true}, KindKey, false},
		"not found":                         {callResult{status: 404, sent: true}, KindNotFound, false},
		"request timeout":                   {callResult{status: 408, sent: true}, KindTimeout, false},
		"conflict":                          {callResult{status: 409, sent: true}, KindRejected, false},
		"precondition failed":               {callResult{status: 412, sent: true}, KindRejected, false},
		"teapot":                            {callResult{status: 418, sent: true}, KindRejected, false},
		"unprocessable":                     {callResult{status: 422, sent: true}, KindRejected, false},
		"throttled":                         {callResult{status: 429, sent: true}, KindThrottled, false},
		"internal":                          {callResult{status: 500, sent: true}, KindServer, true},
		"bad gateway":                       {callResult{status: 502, sent: true}, KindServer, true},
		"unavailable":                       {callResult{status: 503, sent: true}, KindServer, false},
		"gateway timeout":                   {callResult{status: 504, sent: true}, KindServer, true},
		"unknown 5xx":                       {callResult{status: 599, sent: true}, KindServer, true},
		"misdirected":                       {foreign(421), KindServer, false},
		"locked":                            {callResult{status: 423, sent: true}, KindServer, false},
		"too early":                         {foreign(425), KindServer, false},
		"client closed request":             {foreign(499), KindServer, true},
		"redirect":                          {callResult{status: 307, sent: true}, KindForeign, true},
		"not modified":                      {foreign(304), KindForeign, true},
		"switching protocols":               {callResult{status: 101, sent: true}, KindForeign, true},
		"a status that HTTP does not know":  {callResult{status: 799, sent: true}, KindForeign, true},
		"zero-like status of a bad gateway": {callResult{status: 600, sent: true}, KindForeign, true},
		"foreign 200":                       {callResult{status: 200, foreign: true, unreadable: true, sent: true}, KindForeign, true},
		"foreign 400":                       {foreign(400), KindForeign, true},
		"foreign 403":                       {foreign(403), KindKey, false},
		"foreign 404":                       {foreign(404), KindForeign, true},
		"foreign 405":                       {foreign(405), KindForeign, true},
		"foreign 408":                       {foreign(408), KindTimeout, false},
		"foreign 422":                       {foreign(422), KindForeign, true},
		"foreign 429":                       {foreign(429), KindThrottled, false},
		"foreign 502":                       {foreign(502), KindServer, true},
		"foreign 503":                       {foreign(503), KindServer, false},
	} {
		kind, maybeApplied := classify(c.f)
		if kind != c.kind || maybeApplied != c.maybeApplied {
			t.Errorf("%s: %s, maybe applied %t; want %s, %t", name, kind, maybeApplied, c.kind, c.maybeApplied)
		}
	}
}
