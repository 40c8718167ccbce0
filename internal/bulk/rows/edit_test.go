package rows_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"verdict/internal/bulk/rows"
	"verdict/internal/decision"
)

// FuzzBatchLines checks that a batch adds only id and batch_id to a line, only where it
// has none, and that a line that is a valid decision stays one.
func FuzzBatchLines(f *testing.F) {
	for _, line := range []string{
		row("a", 1, decision.CompletedPass), strings.Replace(row("", 1, decision.CompletedFail), `"id":""`, `"batch_id":null,"id":null`, 1),
		`{}`, `{"id":null}`, ` {"batch_id":"b"} `, `{"id":"a","id":"b"}`, "\ufeff{\"i\\u0064\":\"x\"}", `[1]`, `{"a":{"id":1}}`, "{\xff", `{"":""}`,
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		open := func(o rows.Options) *rows.Reader {
			o.Format = rows.JSONLines
			reader, err := rows.NewReader(bytes.NewReader(file), o)
			if err != nil {
				t.Skip()
			}
			return reader
		}
		plain, batch := open(rows.Options{}), open(rows.Options{BatchID: "batch"})
		defer plain.Close()
		defer batch.Close()
		for {
			before, err := plain.Next()
			after, err2 := batch.Next()
			if (err == nil) != (err2 == nil) {
				t.Fatalf("%v, and with a batch %v", err, err2)
			}
			if err != nil {
				return
			}
			if before.Line != after.Line || before.Number != after.Number || !bytes.Equal(before.Key, after.Key) {
				t.Fatalf("%+v, and with a batch %+v", before, after)
			}
			was, fault := before.Decode()
			is, fault2 := after.Decode()
			if (fault == nil) != (fault2 == nil) {
				t.Fatalf("%s: %v; %s: %v", before.Value, fault, after.Value, fault2)
			}
			if fault != nil {
				continue
			}
			if !was.OwnID {
				was.ID, was.OwnID = fmt.Sprintf("batch/%d", after.Number), true
			}
			var members map[string]any // a struct would match Batch_ID too
			if err := json.Unmarshal(before.Value, &members); err == nil && members["batch_id"] == nil {
				was.BatchID = "batch"
			}
			if is != was {
				t.Fatalf("%s\nis    %+v\nwant  %+v", after.Value, is, was)
			}
		}
	})
}
