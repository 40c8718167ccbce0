package service_test

import (
	"encoding/binary"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"verdict/configs"
	"verdict/internal/decision"
)

// schemaRegistry is a Schema Registry in a world.
type schemaRegistry struct {
	*srfake.Registry
	away atomic.Bool // answers 503
}

// withRegistry runs a test with a Schema Registry in the world and in its
// configuration.
func (w *world) withRegistry(test func(r *schemaRegistry)) {
	w.t.Helper()
	r := &schemaRegistry{Registry: srfake.NewRegistry()}
	listener, err := w.network.Listen("tcp", "localhost:0")
	if err != nil {
		w.t.Fatal(err)
	}
	defer serve(w.t, listener, http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if r.away.Load() {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		r.Handler().ServeHTTP(rw, req)
	}))()
	w.cfg.Decode.RegistryURL = configs.NewSecret("http://me:hunter2@" + listener.Addr().String())
	test(r)
}

const avroDecision = `{"type":"record","name":"Decision","fields":[{"name":"profile_id","type":"string"},{"name":"task_id","type":"string"},{"name":"state","type":"string"}]}`

// inAvro returns the record of a decision in Avro, after a schema ID.
func inAvro(t *testing.T, topic string, id uint32, task decision.Task) outgoing {
	t.Helper()
	value, err := avro.MustParse(avroDecision).AppendEncode(binary.BigEndian.AppendUint32([]byte{0}, id), map[string]any{
		"profile_id": task.ProfileID, "task_id": task.TaskID, "state": string(decision.CompletedPass),
	})
	if err != nil {
		t.Fatal(err)
	}
	return outgoing{topic: topic, key: task.ProfileID, value: string(value), task: task, state: decision.CompletedPass}
}
