package decision_test

import (
	"strings"
	"testing"

	"verdict/internal/decision"
)

func TestTraceparentReadsOnlyValidHeaders(t *testing.T) {
	const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	header := func(key, value string) decision.Header { return decision.Header{Key: key, Value: []byte(value)} }
	for name, c := range map[string]struct {
		headers []decision.Header
		want    string
	}{
		"none":                 {nil, ""},
		"good":                 {[]decision.Header{header("a", "b"), header("traceparent", good)}, good},
		"in another case":      {[]decision.Header{header("Traceparent", good)}, good},
		"the first counts":     {[]decision.Header{header("traceparent", "x"), header("traceparent", good)}, ""},
		"empty":                {[]decision.Header{header("traceparent", "")}, ""},
		"no trace ID":          {[]decision.Header{header("traceparent", "00-00000000000000000000000000000000-00f067aa0ba902b7-01")}, ""},
		"no span ID":           {[]decision.Header{header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01")}, ""},
		"upper case":           {[]decision.Header{header("traceparent", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01")}, ""},
		"a line break":         {[]decision.Header{header("traceparent", good[:54]+"\n")}, ""},
		"longer":               {[]decision.Header{header("traceparent", good+"-x")}, ""},
		"another version":      {[]decision.Header{header("traceparent", "01"+good[2:])}, ""},
		"dashes out of place":  {[]decision.Header{header("traceparent", "000"+good[3:])}, ""},
		"a header to be added": {[]decision.Header{header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba9\r\nX: 1-01")}, ""},
	} {
		if got := decision.TraceOf(c.headers).Parent; got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestTracestateGoesWithItsParent(t *testing.T) {
	const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	parent := decision.Header{Key: "traceparent", Value: []byte(good)}
	state := func(values ...string) (headers []decision.Header) {
		for _, v := range values {
			headers = append(headers, decision.Header{Key: "tracestate", Value: []byte(v)})
		}
		return headers
	}
	long := "a=" + strings.Repeat("x", 510)
	for name, c := range map[string]struct {
		headers []decision.Header
		want    string
	}{
		"one":              {append(state("a=b"), parent), "a=b"},
		"two":              {append(state("a=b,c=d", "e=f"), parent), "a=b,c=d,e=f"},
		"no parent":        {state("a=b"), ""},
		"a bad parent":     {append(state("a=b"), decision.Header{Key: "traceparent", Value: []byte("x")}), ""},
		"as long as it is": {append(state(long), parent), long},
		"too long":         {append(state(long+"x"), parent), ""},
		"too long in two":  {append(state(long, "b=c"), parent), ""},
		"a line break":     {append(state("a=b\r\nX: 1"), parent), ""},
		"not ASCII":        {append(state("a=\u00e4"), parent), ""},
	} {
		got := decision.TraceOf(c.headers)
		if got.State != c.want {
			t.Errorf("%s: %q, want %q", name, got.State, c.want)
		}
		if again := decision.TraceOf(got.Headers()); again != got {
			t.Errorf("%s: %+v becomes %+v", name, got, again)
		}
	}
}
