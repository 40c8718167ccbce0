package passfort

import (
	"reflect"
	"strings"
	"testing"
)

func TestDecodeErrorsInEveryShape(t *testing.T) {
	for body, want := range map[string]bodyErrors{
		`{"errors":[{"code":201,"message":"invalid"}]}`:                       {any: true, documented: true, codes: []int{201}, message: "invalid"},
		`{"errors":{"code":204,"message":"bad key"}}`:                         {any: true, documented: true, codes: []int{204}, message: "bad key"},
		`{"errors":[{"code":1,"message":"a"},{"code":"2","detail":"b"},"c"]}`: {any: true, documented: true, codes: []int{1, 2}, message: "a; b; c"},
		`{"errors":[{"code":204.0}]}`:                                         {any: true, documented: true, codes: []int{204}, message: `{"code":204.0}`},
		`{"errors":[{"code":1e99,"message":{"x":1},"title":"t"}]}`:            {any: true, documented: true, message: "t"},
		`{"errors":["no such task"]}`:                                         {any: true, documented: true, message: "no such task"},
		`{"errors":{"state":["is bad"]}}`:                                     {any: true, message: `{"state":["is bad"]}`},
		`{"errors":"down"}`:                                                   {any: true, message: "down"},
		`{"errors":true}`:                                                     {any: true, message: "true"},
		`{"errors":[null]}`:                                                   {any: true, message: `{"errors":[null]}`},
		`{"errors":[]}`:                                                       {message: `{"errors":[]}`},
		`{"message":"no route"}`:                                              {message: "no route"},
		`{"error":"unavailable"}`:                                             {message: "unavailable"},
		`"text"`:                                                              {message: "text"},
		`{}`:                                                                  {},
	} {
		got, isJSON := decodeErrors([]byte(body))
		if !isJSON || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", body, got, want)
		}
	}
	if _, isJSON := decodeErrors([]byte("<html>502</html>")); isJSON {
		t.Error("HTML counts as JSON")
	}
	many := `{"errors":[` + strings.Repeat(`{"code":5},`, 5000) + `{"code":204}]}`
	if f, _ := decodeErrors([]byte(many)); len(f.codes) != maxErrors {
		t.Errorf("%d errors were read, want %d", len(f.codes), maxErrors)
	}
}
