package configs

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write verdict.example.yaml and docs/configuration.md")

const exampleFile = "verdict.example.yaml"

// example returns the example file, generated from the keys.
func example() string {
	var b strings.Builder
	b.WriteString("# Every key of Verdict's configuration with its default. All keys are optional.\n" +
		"# Environment variables (VERDICT_KAFKA_BROKERS) override this file, and flags\n" +
		"# (--kafka-brokers) override both.\n" +
		"#\n" +
		"# Generated from configs/config.go by: go test ./configs -update\n")
	open := ""
	for k := range Keys() {
		section, name := "", k.Name
		if i := strings.LastIndexByte(k.Name, '.'); i >= 0 {
			section, name = k.Name[:i], k.Name[i+1:]
		}
		b.WriteByte('\n')
		parts := strings.Split(section, ".")
		for depth := range parts {
			if path := strings.Join(parts[:depth+1], "."); !strings.HasPrefix(open, path+".") {
				fmt.Fprintf(&b, "%s%s:\n", strings.Repeat("  ", depth), parts[depth])
			}
		}
		open = section + "."
		indent := strings.Repeat("  ", len(parts))
		line := indent + "#"
		for word := range strings.FieldsSeq(k.Description()) {
			if len(line)+1+len(word) > 88 {
				b.WriteString(line + "\n")
				line = indent + "#"
			}
			line += " " + word
		}
		b.WriteString(line + "\n")
		switch value := k.Default; {
		case k.Type == "list":
			fmt.Fprintf(&b, "%s%s:\n", indent, name)
			for _, member := range split(value) {
				fmt.Fprintf(&b, "%s  - %s\n", indent, member)
			}
		case value == "":
			fmt.Fprintf(&b, "%s%s: \"\"\n", indent, name)
		default:
			fmt.Fprintf(&b, "%s%s: %s\n", indent, name, value)
		}
	}
	return b.String()
}

func TestExampleFileIsUpToDate(t *testing.T) {
	if *update {
		if err := os.WriteFile(exampleFile, []byte(example()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(data) != example() {
		t.Errorf("%s is out of date; run go test ./configs -update", exampleFile)
	}

	entries, faults := readYAML(exampleFile, data)
	if err := faults.err(); err != nil {
		t.Fatal(err)
	}
	given := make(map[string]bool)
	for _, e := range entries {
		given[e.key.Name] = true
	}
	for k := range Keys() {
		if !given[k.Name] {
			t.Errorf("%s is missing in %s", k.Name, exampleFile)
		}
	}
	cfg, err := Load(Sources{File: exampleFile})
	if err != nil {
		t.Fatal(err)
	}
	if want := Default(); !reflect.DeepEqual(cfg, want) {
		t.Errorf("%s does not give the defaults:\n got %+v\nwant %+v", exampleFile, cfg, want)
	}
}
