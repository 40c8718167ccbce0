package passfort

import (
	"encoding/json"
	"reflect"
	"testing"

	"verdict/internal/decision"
)

const sample = `{"check_ids":["ea70ade9-3de3-1785-203b-68044cd3ecbb"],"creation_date":"2019-10-03 13:48:16","form_instance_ids":[],"id":"a2c4393a-e219-67a4-5ab4-2186952e9038","is_complete":true,"is_expired":false,"is_skipped":false,"state":"COMPLETED_PASS","type":"INDIVIDUAL_VERIFY_IDENTITY","variant":{"id":"5562c4e4-4d12-b16a-a151-7c9eed6816e9","name":"Verify identity - Forexo","task_type":"INDIVIDUAL_VERIFY_IDENTITY"}}`

func TestDecodeTaskReadsThePublishedSample(t *testing.T) {
	task, f, err := decodeTask([]byte(sample))
	if err != nil || f.any {
		t.Fatal(err, f)
	}
	want := Task{
		ID: "a2c4393a-e219-67a4-5ab4-2186952e9038", State: decision.CompletedPass, Type: "INDIVIDUAL_VERIFY_IDENTITY", IsComplete: true,
		Variant: Variant{ID: "5562c4e4-4d12-b16a-a151-7c9eed6816e9", Name: "Verify identity - Forexo", TaskType: "INDIVIDUAL_VERIFY_IDENTITY"},
		Raw:     json.RawMessage(sample),
	}
	if !reflect.DeepEqual(task, want) {
		t.Errorf("got %+v", task)
	}
}

func TestDecodeTaskToleratesOtherFields(t *testing.T) {
	const id = `"id":"a2c4393a-e219-67a4-5ab4-2186952e9038"`
	for _, body := range []string{
		`{` + id + `,"state":"SOMETHING_NEW","new":[{}]}`,
		`{` + id + `,"state":"INCOMPLETE","variant":null,"type":null}`,
		`{` + id + `,"state":"INCOMPLETE","variant":7,"is_complete":"no","type":{}}`,
		`{` + id + `,"state":"INCOMPLETE","errors":[]}`,
		`{` + id + `,"state":"INCOMPLETE","errors": [ ] }`,
		`{` + id + `,"state":"INCOMPLETE","errors":null}`,
		`{` + id + `,"state":"INCOMPLETE","errors":{}}`,
	} {
		if task, f, err := decodeTask([]byte(body)); err != nil || f.any || task.State == "" {
			t.Errorf("%s: %+v %+v %v", body, task, f, err)
		}
	}
	for _, body := range []string{``, `null`, `[]`, `{}`, `"x"`, `{` + id + `}`, `{"state":"INCOMPLETE"}`, `{"id":"../whoami","state":"INCOMPLETE"}`, sample + `x`, sample[:99]} {
		if _, f, err := decodeTask([]byte(body)); err == nil || f.any {
			t.Errorf("%s was accepted as a task", body)
		}
	}
}

func TestDecodeIdentityNeedsADocumentedField(t *testing.T) {
	who, _, err := decodeIdentity([]byte(`{"auditee_name":"Acme","institution":{"id":"i","logo_url":null,"name":"Acme Ltd"},"user":null}`))
	if err != nil || who.AuditeeName != "Acme" || who.Institution.Name != "Acme Ltd" {
		t.Errorf("got %+v, %v", who, err)
	}
	for _, body := range []string{`{}`, `[]`, `{"user":null}`, `{"status":"ok"}`, `<html>`} {
		if _, _, err := decodeIdentity([]byte(body)); err == nil {
			t.Errorf("%s was accepted as an identity", body)
		}
	}
}

// FuzzDecode checks that no body makes decoding panic, and that every task it returns is
// one.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte(`[` + sample + `,` + sample + `]`))
	f.Add([]byte(`{"errors":[{"code":104,"message":"limit"}]}`))
	f.Add([]byte(`{"errors":{"code":"204"}}`))
	f.Add([]byte(`{"errors":[[[[]]]],"id":7}`))
	f.Add([]byte(`[null,1,{}]`))
	f.Add([]byte(`{"auditee_name":"a","user":{}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		check := func(task Task) {
			if !decision.ValidID(task.ID) || task.State == "" || !json.Valid(task.Raw) {
				t.Errorf("not a task: %+v", task)
			}
		}
		if task, errs, err := decodeTask(body); err == nil && !errs.any {
			check(task)
		}
		if tasks, errs, err := decodeTasks(body); err == nil && !errs.any {
			for _, task := range tasks {
				check(task)
			}
		}
		_, _, _ = decodeIdentity(body)
		if errs, isJSON := decodeErrors(body); !isJSON && errs.any || len(errs.codes) > maxErrors {
			t.Errorf("errors %+v", errs)
		}
	})
}
