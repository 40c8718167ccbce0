package configs

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// wantFaults checks that err is a Faults with exactly these lines, in this order.
// DIR stands for the folder of the file.
func wantFaults(t *testing.T, err error, dir string, want ...string) {
	t.Helper()
	var got []string
	if faults, ok := errors.AsType[Faults](err); ok {
		for _, f := range faults {
			got = append(got, strings.ReplaceAll(f.Error(), dir, "DIR"))
		}
	} else if err != nil {
		t.Fatalf("error is a %T, want Faults: %v", err, err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("faults:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestLoadRequiresANamedFile(t *testing.T) {
	dir := t.TempDir()
	_, err := Load(Sources{File: filepath.Join(dir, "none.yaml"), Env: []string{"VERDICT_LOG_LEVEL=loud"}})
	wantFaults(t, err, dir,
		"configuration file: open DIR/none.yaml: no such file or directory; name a readable YAML file",
		`log.level: is "loud"; want one of debug, info, warn, error (VERDICT_LOG_LEVEL)`,
	)
}

func TestLoadReportsEveryFaultWithItsPlace(t *testing.T) {
	path := write(t, `kafka:
  broker: [a:9092]
  commit_interval: 200
  group_id:
  topics:
    results: task-decisions
  topics:
    results: x
kafak:
  brokers: [a:9092]
workers: 3
processor:
  workers: many
  max_pending_bytes: 32MB
  preflight: sometimes
api: https://api.example.com
admin:
  pprof: yes
`)
	_, err := Load(Sources{
		File: path,
		Env: []string{
			"VERDICT_KAFKA_BROKER=a:9092",
			"VERDICT_API_RATE_LIMIT=-1",
			"VERDICT_API_BURST=1.5",
		},
		Flags:      flagSet(t, "--processor-backoff-max=1ms", "--log-format=xml"),
		NeedAPIKey: true,
	})
	wantFaults(t, err, filepath.Dir(path),
		"kafka.broker: is not a known key; did you mean kafka.brokers? (DIR/verdict.yaml:2)",
		"kafka.group_id: has no value; remove the key to use its default, or write \"\" for an empty value (DIR/verdict.yaml:4)",
		"kafka.topics: is given twice, first on line 5; keep one (DIR/verdict.yaml:7)",
		"kafak: is not a known section; did you mean kafka? (DIR/verdict.yaml:9)",
		"workers: is not a known key; did you mean processor.workers? (DIR/verdict.yaml:11)",
		"api: is a section; write its keys below it, indented (DIR/verdict.yaml:16)",
		`kafka.commit_interval: is "200", without a unit; add one, as in 200ms, 30s or 1m (DIR/verdict.yaml:3)`,
		`processor.workers: is "many"; want a whole number (DIR/verdict.yaml:13)`,
		`processor.max_pending_bytes: is "32MB"; want a size such as 512KiB, 32MiB or 65536 (bytes) (DIR/verdict.yaml:14)`,
		`admin.pprof: is "yes"; want true or false (DIR/verdict.yaml:18)`,
		`api.burst: is "1.5"; want a whole number (VERDICT_API_BURST)`,
		"VERDICT_KAFKA_BROKER: is not a known environment variable; did you mean VERDICT_KAFKA_BROKERS?",
		"api.rate_limit: is -1; want 0 or more, where 0 means no limit (VERDICT_API_RATE_LIMIT)",
		`processor.preflight: is "sometimes"; want one of never, retry, backfill, always (DIR/verdict.yaml:15)`,
		`log.format: is "xml"; want one of json, text (--log-format)`,
		`kafka.topics.results: is "task-decisions", the same as kafka.topics.decisions; give each its own topic (DIR/verdict.yaml:6)`,
		"api.key: is not set; set VERDICT_API_KEY or api.key_file",
		"processor.backoff_max: is 1ms, less than processor.backoff_min (250ms); want at least that (--processor-backoff-max)",
	)
}

func TestLoadChecksOverriddenValues(t *testing.T) {
	path := write(t, "api:\n  timeout: soon\n")
	_, err := Load(Sources{File: path, Env: []string{"VERDICT_API_TIMEOUT=5s"}})
	wantFaults(t, err, filepath.Dir(path), `api.timeout: is "soon"; want a duration such as 200ms, 30s or 1m (DIR/verdict.yaml:2)`)
}

func TestLoadRejectsMalformedFiles(t *testing.T) {
	for text, want := range map[string]string{
		"- a\n- b\n":                        "configuration file: does not contain keys; see verdict.example.yaml (DIR/verdict.yaml:1)",
		"a: [\n":                            "configuration file: is not valid YAML: line 1: did not find expected node content (DIR/verdict.yaml)",
		"---\n---\n":                        "configuration file: has more than one YAML document; keep one, and remove the --- line (DIR/verdict.yaml)",
		"[a]: b\n":                          "configuration file: has a key that is not text (DIR/verdict.yaml:1)",
		"log:\n  level: [a]\n":              "log.level: is a list; give one value (DIR/verdict.yaml:2)",
		"log:\n  level: {a: b}\n":           "log.level: has keys below it; give it a value (DIR/verdict.yaml:2)",
		"kafka:\n  brokers: [[a]]\n":        "kafka.brokers: has an item that is not a plain value; write each item as - value (DIR/verdict.yaml:2)",
		"kafka: &k {}\napi: *k\n":           "api: is a section; write its keys below it, indented (DIR/verdict.yaml:2)",
		"\"\\u0007\": 1\n":                  "\"\\a\": is not a known key; did you mean api.key? (DIR/verdict.yaml:1)",
		strings.Repeat("#", maxFile) + "\n": "configuration file: has more than 256KiB; is it the right file? (DIR/verdict.yaml)",
	} {
		path := write(t, text)
		_, err := Load(Sources{File: path})
		wantFaults(t, err, filepath.Dir(path), want)
	}
}

func TestFaultsContainNoSecrets(t *testing.T) {
	for _, text := range []string{
		"api:\n  key: *hunter2\n",
		"api:\n  key: [hunter2]\n",
		"api:\n  key: {hunter2: 1}\n",
		"api:\n  key: \"hunter2\\n\"\n",
		"api:\n  key: &hunter2\n",
		"api:\n  key: hunter2\n  key: hunter2\n",
		"api:\n  key: hunter2\n  key_file: f\n",
		"api:\n  base_url: https://me:hunter2@host\n",
		"api:\n  base_url: https://host?apikey=hunter2\n",
		"api:\n  base_url: \"https://ho st/hunter2\"\n",
		"decode:\n  registry_url: http://me:hunter2@host/%zz\n",
		"kafka:\n  brokers: me:hunter2@host:9092\n",
		"kafka:\n  sasl: {password: hunter2, password_file: f}\n",
	} {
		_, err := Load(Sources{File: write(t, text)})
		if err == nil {
			t.Errorf("no fault in:\n%s", text)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q contains the secret of:\n%s", err, text)
		}
	}
}

func TestLoadIgnoresServiceVariablesOfKubernetes(t *testing.T) {
	_, err := Load(Sources{File: write(t, ""), Env: []string{
		"VERDICT_SERVICE_HOST=10.0.0.1",
		"VERDICT_SERVICE_PORT=9464",
		"VERDICT_SERVICE_PORT_METRICS=9464",
		"VERDICT_PORT=tcp://10.0.0.1:9464",
		"VERDICT_PORT_9464_TCP=tcp://10.0.0.1:9464",
		"VERDICT_PORT_9464_TCP_ADDR=10.0.0.1",
		"VERDICT_METRICS_SERVICE_HOST=10.0.0.1",
		"VERDICT_METRICS_PORT_9464_TCP_PROTO=tcp",
		"VERDICT_ACTOR=ann",     // of commands
		"VERDICT_LOG_PORT=9464", // not one of Kubernetes
	}})
	wantFaults(t, err, "-", "VERDICT_LOG_PORT: is not a known environment variable; did you mean VERDICT_LOG_FORMAT?")
}
