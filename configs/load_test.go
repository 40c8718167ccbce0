package configs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"verdict/internal/decision"

	"github.com/spf13/pflag"
	"pgregory.net/rapid"
)

// write is a configuration file with this text.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "verdict.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func flagSet(t *testing.T, args ...string) *pflag.FlagSet {
	t.Helper()
	fs := pflag.NewFlagSet("verdict", pflag.ContinueOnError)
	RegisterFlags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return fs
}

// wantFaults checks that err is Faults of exactly these lines, in this order.
// DIR stands for the folder of the file.
func wantFaults(t *testing.T, err error, dir string, want ...string) {
	t.Helper()
	var got []string
	if faults, ok := errors.AsType[Faults](err); ok {
		for _, f := range faults {
			got = append(got, strings.ReplaceAll(f.Error(), dir, "DIR"))
		}
	} else if err != nil {
		t.Fatalf("error is a %T: %v", err, err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("faults:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestDefaultIsTheContractsAndValid(t *testing.T) {
	t.Chdir(t.TempDir()) // no verdict.yaml here
	got, err := Load(Sources{})
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Kafka: Kafka{
			Brokers: []string{"localhost:9092"}, GroupID: "verdict", ClientID: "verdict",
			Topics: Topics{
				Decisions: "task-decisions", Backfill: "task-decisions-backfill", Results: "task-results",
				DeadLetters: "task-decisions-dlq", CheckResults: "task-check-results",
			},
			StartOffset: StartEarliest, CommitInterval: 200 * time.Millisecond, MaxUncommitted: 20000,
			RebalanceTimeout: 30 * time.Second, SessionTimeout: 30 * time.Second,
		},
		API: API{
			BaseURL: "https://api.passfort.com/4.0", Timeout: 65 * time.Second,
			RateLimit: 50, Burst: 10, RateLimitScope: ScopeGroup,
		},
		Processor: Processor{
			Workers: 64, MaxAttempts: 8, BackoffMin: 250 * time.Millisecond, BackoffMax: time.Minute,
			MaxPending: 5000, MaxPendingBytes: 32 * MiB, BackfillMinShare: 0.1,
			Preflight: decision.PreflightRetry, OnConflict: decision.ConflictDeadLetter, ShutdownTimeout: 25 * time.Second,
		},
		Decode: Decode{Format: decision.FormatAuto},
		Admin:  Admin{Addr: "127.0.0.1:9464"},
		Log:    Log{Level: LogInfo, Format: LogJSON},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("defaults:\n got %+v\nwant %+v", got, want)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
}

// samples is three values of a key that differ from each other.
func samples(k Key) [3]string {
	switch k.Type {
	case "choice":
		c := k.Choices
		return [3]string{c[1], c[0], c[len(c)-1]}
	case "duration":
		return [3]string{"1h1s", "1h2s", "1h3s"}
	case "size":
		return [3]string{"1MiB", "2MiB", "3MiB"}
	case "integer":
		return [3]string{"101", "102", "103"}
	case "number":
		return [3]string{"0.11", "0.12", "0.13"}
	case "boolean":
		return [3]string{"true", "false", "true"}
	case "list":
		return [3]string{"a:1,b:2", "c:3", "d:4, e:5"}
	}
	return [3]string{"one", "two", "three"}
}

func TestFileThenEnvironmentThenFlagsForEveryKey(t *testing.T) {
	for k := range Keys() {
		for layers := range 8 {
			values := samples(k)
			last := k.Default
			var s Sources
			s.File = write(t, "")
			if layers&1 != 0 {
				last = values[0]
				s.File = write(t, fmt.Sprintf("%s: %q\n", k.Name, last))
			}
			if layers&2 != 0 {
				last = values[1]
				s.Env = []string{"PATH=/bin", k.Env() + "=" + last}
			}
			if layers&4 != 0 {
				last = values[2]
				s.Flags = flagSet(t, "--"+k.Flag()+"="+last)
			}
			// Other keys may forbid the value; which one won is asked here.
			cfg, _ := Load(s)
			want := Default()
			if f := parse(given{text: last}, k.field(&want)); f != nil {
				t.Fatal(f)
			}
			if !reflect.DeepEqual(cfg, want) {
				t.Errorf("%s in layers %03b:\n got %+v\nwant %+v", k.Name, layers, cfg, want)
			}
		}
	}
}

func TestFileIsReadWithSectionsListsAndDottedKeys(t *testing.T) {
	cfg, err := Load(Sources{File: write(t, `
kafka:
  brokers: [a:9092, "b:9092"]
  tls:
  topics: {backfill: ""}
api.key: 12345 # digits, and yet a text
api:
  rate_limit: 0
processor:
  max_pending_bytes: 65536
admin:
  addr: ""
`)})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(cfg.Kafka.Brokers, []string{"a:9092", "b:9092"}) || cfg.Kafka.Topics.Backfill != "" ||
		cfg.API.Key.Reveal() != "12345" || cfg.API.RateLimit != 0 || cfg.Processor.MaxPendingBytes != 64*KiB || cfg.Admin.Addr != "" {
		t.Errorf("%+v", cfg)
	}
}

func TestDefaultFileIsReadWhereItIs(t *testing.T) {
	path := write(t, "log: {format: text}\n")
	t.Chdir(filepath.Dir(path))
	cfg, err := Load(Sources{})
	if err != nil || cfg.Log.Format != LogText {
		t.Errorf("log.format %q, %v", cfg.Log.Format, err)
	}
}

func TestNamedFileMustBeThere(t *testing.T) {
	dir := t.TempDir()
	_, err := Load(Sources{File: filepath.Join(dir, "none.yaml"), Env: []string{"VERDICT_LOG_LEVEL=loud"}})
	wantFaults(t, err, dir,
		"configuration file: open DIR/none.yaml: no such file or directory; name a YAML file that can be read",
		`log.level: is "loud"; want one of debug, info, warn, error (VERDICT_LOG_LEVEL)`,
	)
}

func TestEveryFaultIsNamedAtOnceWithItsPlace(t *testing.T) {
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
		"kafka.group_id: has no value; leave the key out for its default, or write \"\" for an empty one (DIR/verdict.yaml:4)",
		"kafka.topics: is given twice, first in line 5; keep one (DIR/verdict.yaml:7)",
		"kafak: is not a known section; did you mean kafka? (DIR/verdict.yaml:9)",
		"workers: is not a known key; did you mean processor.workers? (DIR/verdict.yaml:11)",
		"api: is a section; write its keys below it, indented (DIR/verdict.yaml:16)",
		`kafka.commit_interval: "200" has no unit; add one, as in 200ms, 30s or 1m (DIR/verdict.yaml:3)`,
		`processor.workers: is "many"; want a whole number (DIR/verdict.yaml:13)`,
		`processor.max_pending_bytes: is "32MB"; want a size such as 512KiB, 32MiB or 65536 (bytes) (DIR/verdict.yaml:14)`,
		`admin.pprof: is "yes"; want true or false (DIR/verdict.yaml:18)`,
		`api.burst: is "1.5"; want a whole number (VERDICT_API_BURST)`,
		"VERDICT_KAFKA_BROKER: is not a known environment variable; did you mean VERDICT_KAFKA_BROKERS?",
		`processor.preflight: is "sometimes"; want one of never, retry, backfill, always (DIR/verdict.yaml:15)`,
		`log.format: is "xml"; want one of json, text (--log-format)`,
		`kafka.topics.results: is "task-decisions", and so is kafka.topics.decisions; each needs a topic of its own (DIR/verdict.yaml:6)`,
		"api.key: is not set; set VERDICT_API_KEY, or api.key_file",
		"api.rate_limit: is -1; want calls per second, or 0 for unlimited (VERDICT_API_RATE_LIMIT)",
		"processor.backoff_max: is 1ms, less than processor.backoff_min (250ms); want as much or more (--processor-backoff-max)",
	)
}

func TestOverriddenValueMustBeRightToo(t *testing.T) {
	path := write(t, "api:\n  timeout: soon\n")
	_, err := Load(Sources{File: path, Env: []string{"VERDICT_API_TIMEOUT=5s"}})
	wantFaults(t, err, filepath.Dir(path), `api.timeout: is "soon"; want a duration such as 200ms, 30s or 1m (DIR/verdict.yaml:2)`)
}

func TestFileOfAnotherFormIsAFault(t *testing.T) {
	for text, want := range map[string]string{
		"- a\n- b\n":                        "configuration file: does not hold keys; write it as in verdict.example.yaml (DIR/verdict.yaml:1)",
		"a: [\n":                            "configuration file: is not YAML: line 1: did not find expected node content (DIR/verdict.yaml)",
		"---\n---\n":                        "configuration file: has a second document; keep one, without a line of --- (DIR/verdict.yaml)",
		"[a]: b\n":                          "configuration file: has a key that is not a text (DIR/verdict.yaml:1)",
		"log:\n  level: [a]\n":              "log.level: is a list; give one value (DIR/verdict.yaml:2)",
		"log:\n  level: {a: b}\n":           "log.level: has keys below it; it takes a value (DIR/verdict.yaml:2)",
		"kafka:\n  brokers: [[a]]\n":        "kafka.brokers: has a member that is not a plain value; write each as - value (DIR/verdict.yaml:2)",
		"kafka: &k {}\napi: *k\n":           "api: is a section; write its keys below it, indented (DIR/verdict.yaml:2)",
		"\"\\u0007\": 1\n":                  "\"\\a\": is not a known key; did you mean api.key? (DIR/verdict.yaml:1)",
		strings.Repeat("#", maxFile) + "\n": "configuration file: has more than 256KiB; is it the right file? (DIR/verdict.yaml)",
	} {
		path := write(t, text)
		_, err := Load(Sources{File: path})
		wantFaults(t, err, filepath.Dir(path), want)
	}
}

func TestSecretsAreInNoFault(t *testing.T) {
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
			t.Errorf("no fault in\n%s", text)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the secret is in %q of\n%s", err, text)
		}
	}
}

func TestVariablesThatKubernetesAddsForAServiceAreNotFaults(t *testing.T) {
	_, err := Load(Sources{File: write(t, ""), Env: []string{
		"VERDICT_SERVICE_HOST=10.0.0.1",
		"VERDICT_SERVICE_PORT=9464",
		"VERDICT_SERVICE_PORT_METRICS=9464",
		"VERDICT_PORT=tcp://10.0.0.1:9464",
		"VERDICT_PORT_9464_TCP=tcp://10.0.0.1:9464",
		"VERDICT_PORT_9464_TCP_ADDR=10.0.0.1",
		"VERDICT_METRICS_SERVICE_HOST=10.0.0.1",
		"VERDICT_METRICS_PORT_9464_TCP_PROTO=tcp",
		"VERDICT_LOG_PORT=9464", // somebody's guess
	}})
	wantFaults(t, err, "-", "VERDICT_LOG_PORT: is not a known environment variable; did you mean VERDICT_LOG_FORMAT?")
}

func TestFlagsOverrideOnlyWhereTheyAreGiven(t *testing.T) {
	cfg, err := Load(Sources{
		File:  write(t, "api: {rate_limit: 7, burst: 3}\n"),
		Flags: flagSet(t, "--api-rate-limit", "9", "--admin-pprof", "--kafka-brokers=a:1", "--kafka-brokers=b:2"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.API.RateLimit != 9 || cfg.API.Burst != 3 || !cfg.Admin.Pprof || !slices.Equal(cfg.Kafka.Brokers, []string{"a:1", "b:2"}) {
		t.Errorf("rate_limit %v, burst %v, pprof %v, brokers %q", cfg.API.RateLimit, cfg.API.Burst, cfg.Admin.Pprof, cfg.Kafka.Brokers)
	}
}

func TestFlagsOfACommandsOwnAreLeftAlone(t *testing.T) {
	fs := pflag.NewFlagSet("demo", pflag.ContinueOnError)
	fs.String("log-level", "info", "")
	if err := fs.Parse([]string{"--log-level=loud"}); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(Sources{File: write(t, ""), Flags: fs}); err != nil {
		t.Error(err)
	}
}

func TestKeyOfTellsKeysFromOwnFlags(t *testing.T) {
	fs := flagSet(t)
	fs.String("rate", "", "")
	for k := range Keys() {
		if got, ok := KeyOf(fs.Lookup(k.Flag())); !ok || got.Name != k.Name {
			t.Errorf("--%s: key %q, %t", k.Flag(), got.Name, ok)
		}
	}
	if k, ok := KeyOf(fs.Lookup("rate")); ok {
		t.Errorf("--rate is taken for %s", k.Name)
	}
}

func TestHelpShowsDefaultsAndNoSecret(t *testing.T) {
	fs := flagSet(t, "--api-key=hunter2")
	help := fs.FlagUsages()
	for _, want := range []string{"--kafka-brokers list", "(default localhost:9092)", "--admin-pprof ", "One of never, retry, backfill, always."} {
		if !strings.Contains(help, want) {
			t.Errorf("help lacks %q:\n%s", want, help)
		}
	}
	if strings.Contains(help, "hunter2") || strings.Contains(fs.Lookup("api-key").Value.String(), "hunter2") {
		t.Error("the secret is shown")
	}
}

func TestEveryKeyHasHelpAndNamesOfItsOwn(t *testing.T) {
	n := 0
	for k := range Keys() {
		n++
		if !strings.HasSuffix(k.Help, ".") {
			t.Errorf("%s: help is %q", k.Name, k.Help)
		}
		if byEnv[k.Env()].Name != k.Name {
			t.Errorf("%s shares %s", k.Name, k.Env())
		}
	}
	if n != len(byName) || n != 47 {
		t.Errorf("%d keys, %d names, want the 47 of the contract", n, len(byName))
	}
}

func TestNearestFindsTheKeyBehindATypo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.SampledFrom(table).Draw(t, "key")
		i := rapid.IntRange(0, len(k.Name)-1).Draw(t, "at")
		typo := k.Name[:i] + rapid.SampledFrom([]string{"", "x", "_"}).Draw(t, "instead") + k.Name[i+1:]
		got := Nearest(typo, names(Key.name))
		if d := distance(typo, got); d > distance(typo, k.Name) && distance(last(typo), last(got))+2 > distance(typo, k.Name) {
			t.Errorf("nearest to %s is %s, not %s", typo, got, k.Name)
		}
	})
}

func TestDistanceIsAMetric(t *testing.T) {
	word := rapid.StringMatching(`[abc]{0,6}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := word.Draw(t, "a"), word.Draw(t, "b"), word.Draw(t, "c")
		if (distance(a, b) == 0) != (a == b) || distance(a, b) != distance(b, a) || distance(a, c) > distance(a, b)+distance(b, c) {
			t.Errorf("%q %q %q: %d %d %d", a, b, c, distance(a, b), distance(b, c), distance(a, c))
		}
	})
}

func TestSizesAreReadAsTheyAreWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := Bytes(rapid.Int64Min(0).Draw(t, "bytes"))
		if got, err := parseBytes(b.String()); err != nil || got != b {
			t.Errorf("%d is written %s and read %d, %v", int64(b), b, int64(got), err)
		}
	})
	for _, text := range []string{"", "MiB", "-1", "1.5MiB", "1 mib", "32MB", "9223372036854775807KiB", "0x10"} {
		if b, err := parseBytes(text); err == nil {
			t.Errorf("%q is read as %d", text, b)
		}
	}
}

// FuzzFile: no file makes reading panic, each fault is one line, and what has
// no fault is valid.
func FuzzFile(f *testing.F) {
	for _, text := range []string{
		"", "a", "kafka:\n", "kafka: {brokers: [a:1]}", "kafka.brokers: a:1,b:2", "api: {key: *x}", "<<: {a: b}", "? [a]\n: b",
		"a: &a [*a]", "api: {timeout: 1e9s, rate_limit: .nan}", "processor: {max_pending_bytes: 99999999GiB}", "\xff\xfe", "--- a\n--- b", "%YAML 9.9\n---\n",
		"api:\n  key: |\n    a\n    b\nkafka:\n  brokers:\n    - \"a\\n\"\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, faults := readYAML("fuzz.yaml", data)
		l := loader{cfg: Default(), from: map[string]string{}, broken: map[string]bool{}, faults: faults}
		for _, e := range entries {
			l.set(e.key, e.given, e.from)
		}
		v := validator{cfg: l.cfg, from: l.from, broken: l.broken}
		all := append(l.faults, v.faultsFound()...)
		for _, fault := range all {
			if line := fault.Error(); fault.Key == "" || fault.Wrong == "" || strings.ContainsAny(line, "\n\r\x00") {
				t.Errorf("fault %q", line)
			}
		}
		if len(all) == 0 && l.cfg.Validate() != nil {
			t.Errorf("taken, and yet not valid: %v", l.cfg.Validate())
		}
	})
}
