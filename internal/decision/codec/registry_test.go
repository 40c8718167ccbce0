package codec_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A 404 without a registry's code counts while an ID that was known is found. In between,
// a gateway answers like that for every ID.
func Test404WithoutACodeCountsWhileAKnownIDIsFound(t *testing.T) {
	inWorld(t, func(w *world) {
		const schema = `{"schemaType":"JSON","schema":"{}"}`
		var known atomic.Int64
		known.Store(1)
		w.answerWith(func(rw http.ResponseWriter, req *http.Request) {
			if req.URL.Path == fmt.Sprint("/schemas/ids/", known.Load()) {
				_, _ = rw.Write([]byte(schema))
				return
			}
			failing(404, "no such schema")(rw, req)
		})
		if _, err := w.decoder.Decode(w.Context(), pass(1)); err != nil {
			w.Fatal(err)
		}
		if _, err := w.decoder.Decode(w.Context(), pass(2)); plain(err) != "value: schema ID 2 is not known to the Schema Registry" {
			w.Error(err)
		}
		known.Store(0)
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		if _, err := w.decoder.Decode(ctx, pass(3)); !errors.Is(err, context.DeadlineExceeded) {
			w.Errorf("while a gateway answers: %v", err)
		}
		known.Store(3)
		if _, err := w.decoder.Decode(w.Context(), pass(3)); err != nil {
			w.Error(err)
		}
	})
}

func TestMissingReferenceIsNamedAndDeletedOneIsRead(t *testing.T) {
	inWorld(t, func(w *world) {
		answers := map[string]string{
			"/schemas/ids/1":                 `{"schemaType":"PROTOBUF","schema":"syntax = \"proto3\"; import \"a.proto\"; message M { A a = 1; }","references":[{"name":"a.proto","subject":"a b/c","version":3}]}`,
			"/schemas/ids/2":                 `{"schema":"\"A\"","references":[{"name":"A","subject":"gone","version":1}]}`,
			"/schemas/ids/3":                 `{"schema":"{}","references":[` + references(101) + `]}`,
			"/schemas/ids/4":                 `{"schema":"{}","references":[{"name":"r","subject":"many","version":1},{"name":"r","subject":"large","version":1}]}`,
			"/schemas/ids/5":                 `{"schema":"{}","schemaType":"JSON","references":[{"name":"A","subject":"gone","version":1}]}`,
			"/subjects/large/versions/1":     `{"schema":"` + strings.Repeat("x", 512<<10-3) + `"}`,
			"/subjects/a%20b%2Fc/versions/3": `{"subject":"a","version":3,"id":9,"schemaType":"PROTOBUF","schema":"syntax = \"proto3\"; message A {}"}`,
		}
		w.answerWith(func(rw http.ResponseWriter, req *http.Request) {
			body, ok := answers[req.URL.EscapedPath()]
			switch {
			case strings.HasPrefix(req.URL.Path, "/subjects/many"):
				body = `{"schema":"{}"}`
			case !ok, strings.HasPrefix(req.URL.Path, "/subjects/") && req.URL.Query().Get("deleted") != "true":
				failing(404, `{"error_code":40402}`)(rw, req)
				return
			}
			_, _ = rw.Write([]byte(body))
		})
		for id, want := range map[uint32]string{
			1: "profile_id: missing; task_id: missing; state: missing",
			2: `value: schema ID 2 refers to "gone" in version 1, which is not known to the Schema Registry`,
			3: "value: schema ID 3 refers to more than 100 other schemas",
			4: "value: schema ID 4 has more than 512 KiB of text, with the schemas that it refers to",
			5: "value: not valid JSON: invalid character '\\x00' looking for beginning of value",
		} {
			if _, err := w.decoder.Decode(w.Context(), record(framed(id, []byte{0}))); plain(err) != want {
				w.Errorf("got  %v\nwant %s", err, want)
			}
		}
	})
}

func references(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`{"name":"r%d","subject":"many","version":%d}`, i, i+1))
	}
	return strings.Join(all, ",")
}
