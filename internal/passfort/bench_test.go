package passfort_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

// canned answers without a network, which leaves the client's own work to measure.
type canned []byte

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	return &http.Response{
		StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(bytes.NewReader(c)), ContentLength: int64(len(c)),
	}, nil
}

func BenchmarkCompleteTaskWithoutNetwork(b *testing.B) {
	answer := `{"check_ids":[],"creation_date":"2019-10-03 13:48:16","form_instance_ids":[],"id":"` + taskID + `","is_complete":true,"is_expired":false,"is_skipped":false,"state":"COMPLETED_PASS","type":"INDIVIDUAL_VERIFY_IDENTITY","variant":{"id":"5562c4e4-4d12-b16a-a151-7c9eed6816e9","name":"Verify identity - Forexo","task_type":"INDIVIDUAL_VERIFY_IDENTITY"}}`
	o := options("https://api.passfort.com/4.0")
	o.Transport = canned(answer)
	client, err := passfort.New(o)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := client.CompleteTask(b.Context(), profileID, taskID, decision.CompletedPass); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCompleteTask measures the client against the sandbox over loopback TCP, and
// a bare net/http client that ignores the answer.
func BenchmarkCompleteTask(b *testing.B) {
	box, err := sandbox.New(sandbox.Options{Key: key})
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(box)
	defer server.Close()

	b.Run("client", func(b *testing.B) {
		client, err := passfort.New(options(server.URL + "/4.0"))
		if err != nil {
			b.Fatal(err)
		}
		defer client.Close()
		b.ReportAllocs()
		b.SetParallelism(16)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, _, err := client.CompleteTask(b.Context(), profileID, taskID, decision.CompletedPass); err != nil {
					b.Error(err)
				}
			}
		})
	})
	b.Run("bare", func(b *testing.B) {
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
		defer client.CloseIdleConnections()
		b.ReportAllocs()
		b.SetParallelism(16)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				req, _ := http.NewRequestWithContext(b.Context(), http.MethodPost, server.URL+"/4.0/profiles/"+profileID+"/tasks/"+taskID,
					bytes.NewReader([]byte(`{"state":"COMPLETED_PASS"}`)))
				req.Header.Set("apikey", key)
				resp, err := client.Do(req)
				if err != nil {
					b.Error(err)
					continue
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		})
	})
}
