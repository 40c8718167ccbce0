package decision_test

import (
	"strings"
	"testing"

	"verdict/internal/decision"
)

func TestBatchPlaceIsReadBackFromItsHeaders(t *testing.T) {
	want := decision.BatchPlace{ID: "march", Line: 12, Size: 1_000_000}
	rec := decision.Record{Value: []byte("{}"), Headers: append([]decision.Header{{Key: "trace", Value: []byte("x")}}, want.Headers()...)}
	letter := (&decision.DeadLetter{Reason: decision.Rejected}).Encode("dlq", &rec)
	for _, headers := range [][]decision.Header{rec.Headers, letter.Headers} {
		if got, ok := decision.BatchPlaceOf(headers); !ok || got != want {
			t.Errorf("%+v, %v", got, ok)
		}
	}
}

func TestBatchPlaceOfNeedsIDAndLine(t *testing.T) {
	header := func(key, value string) decision.Header { return decision.Header{Key: key, Value: []byte(value)} }
	id, line := header(decision.HeaderBatchID, "b"), header(decision.HeaderBatchLine, "1")
	for name, tc := range map[string]struct {
		headers []decision.Header
		ok      bool
	}{
		"none":             {nil, false},
		"no line":          {[]decision.Header{id}, false},
		"no ID":            {[]decision.Header{line}, false},
		"line 0":           {[]decision.Header{id, header(decision.HeaderBatchLine, "0")}, false},
		"a negative line":  {[]decision.Header{id, header(decision.HeaderBatchLine, "-1")}, false},
		"a line too large": {[]decision.Header{id, header(decision.HeaderBatchLine, "99999999999999999999")}, false},
		"a long ID":        {[]decision.Header{header(decision.HeaderBatchID, strings.Repeat("x", 2000)), line}, false},
		"an invalid size":  {[]decision.Header{id, line, header(decision.HeaderBatchSize, "many")}, true},
		"no size":          {[]decision.Header{id, line}, true},
		"a second ID":      {[]decision.Header{id, line, header(decision.HeaderBatchID, "other")}, true},
	} {
		got, ok := decision.BatchPlaceOf(tc.headers)
		if ok != tc.ok || ok && got != (decision.BatchPlace{ID: "b", Line: 1}) {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
	}
}
