package passfort_test

import (
	"net/http"
	"testing"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

func TestCallCarriesTheTraceOfItsContext(t *testing.T) {
	box := newSandbox(t, sandbox.Options{})
	var got []string
	client := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Traceparent")+r.Header.Get("Tracestate"))
		box.ServeHTTP(w, r)
	}))
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	ctx := passfort.WithTrace(t.Context(), decision.Trace{Parent: trace, State: "a=b"})
	for range 2 {
		if _, _, err := client.CompleteTask(ctx, profileID, taskID, decision.CompletedPass); err != nil {
			t.Fatal(err)
		}
		if _, _, err := client.CompleteTask(t.Context(), profileID, taskID, decision.CompletedPass); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{trace + "a=b", "", trace + "a=b", ""}; len(got) != 4 || [4]string(got) != [4]string(want) {
		t.Errorf("got %q", got)
	}
}
