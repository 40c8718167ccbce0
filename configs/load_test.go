package configs

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"verdict/internal/decision"

	"github.com/spf13/pflag"
)

// write writes a configuration file and returns its path.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "verdict.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// flagSet returns the flags of every key, parsed from args.
func flagSet(t *testing.T, args ...string) *pflag.FlagSet {
	t.Helper()
	fs := pflag.NewFlagSet("verdict", pflag.ContinueOnError)
	RegisterFlags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return fs
}

func TestDefaultMatchesTheContract(t *testing.T) {
	t.Chdir(t.TempDir()) // a folder without verdict.yaml
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
				Held: "task-decisions-held", Control: "verdict-control", Audit: "verdict-audit", Fingerprints: "verdict-fingerprints",
			},
			StartOffset: StartEarliest, CommitInterval: 200 * time.Millisecond, MaxUncommitted: 1000000,
			RebalanceTimeout: 30 * time.Second, SessionTimeout: 30 * time.Second,
		},
		API: API{
			BaseURL: "https://api.passfort.com/4.0", Timeout: 65 * time.Second, Probe: ProbeWhoAmI, MaxConnectionAge: 5 * time.Minute,
			RateLimit: 50, Burst: 10, RateLimitScope: ScopeGroup,
		},
		Processor: Processor{
			Workers: 64, MaxAttempts: 8, Patience: 10 * time.Minute, Guard: 20, BackoffMin: 250 * time.Millisecond, BackoffMax: time.Minute,
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

// samples returns three values of a key; neighbors differ.
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

func TestLoadLayersEveryKey(t *testing.T) {
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
			// The value may conflict with other keys, so faults are ignored.
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

func TestLoadReadsSectionsListsAndDottedKeys(t *testing.T) {
	cfg, err := Load(Sources{File: write(t, `
kafka:
  brokers: [a:9092, "b:9092"]
  tls:
  topics: {backfill: ""}
api.key: 12345 # digits, but text
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

func TestLoadReadsDefaultFile(t *testing.T) {
	path := write(t, "log: {format: text}\n")
	t.Chdir(filepath.Dir(path))
	cfg, err := Load(Sources{})
	if err != nil || cfg.Log.Format != LogText {
		t.Errorf("log.format %q, %v", cfg.Log.Format, err)
	}
}

func TestLoadAppliesOnlyGivenFlags(t *testing.T) {
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

func TestLoadIgnoresFlagsOfTheCommand(t *testing.T) {
	fs := pflag.NewFlagSet("demo", pflag.ContinueOnError)
	fs.String("log-level", "info", "")
	if err := fs.Parse([]string{"--log-level=loud"}); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(Sources{File: write(t, ""), Flags: fs}); err != nil {
		t.Error(err)
	}
}
