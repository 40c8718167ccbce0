package configs

import (
	"strings"
	"testing"
)

// FuzzFile checks that no file makes readYAML panic, that each fault is one line, and
// that a file without faults gives a valid configuration.
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
		l := loader{cfg: Default(), from: map[string]string{}, unreadable: map[string]bool{}, faults: faults}
		for _, e := range entries {
			l.set(e.key, e.given, e.from)
		}
		v := validator{cfg: l.cfg, from: l.from, unreadable: l.unreadable}
		all := append(l.faults, v.check()...)
		for _, fault := range all {
			if line := fault.Error(); fault.Key == "" || fault.Wrong == "" || strings.ContainsAny(line, "\n\r\x00") {
				t.Errorf("fault %q", line)
			}
		}
		if len(all) == 0 && l.cfg.Validate() != nil {
			t.Errorf("no fault, but not valid: %v", l.cfg.Validate())
		}
	})
}
