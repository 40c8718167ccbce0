package codec_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"
)

func Test404WithoutACodeCountsFromAProvedRegistry(t *testing.T) {
	inWorld(t, func(w *world) {
		w.seed(1, sr.TypeJSON, `{}`)
		if _, err := w.decoder.Decode(w.Context(), pass(1)); err != nil {
			w.Fatal(err)
		}
		w.answerWith(failing(404, "no such schema"))
		_, err := w.decoder.Decode(w.Context(), pass(2))
		if plain(err) != "value: schema ID 2 is not known to the Schema Registry" {
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
