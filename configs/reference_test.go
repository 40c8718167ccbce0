package configs

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

const referenceFile = "../docs/configuration.md"

// reference returns docs/configuration.md, generated from the keys.
func reference() string {
	var b strings.Builder
	b.WriteString(`# Configuration

<!-- Generated from configs/config.go by: go test ./configs -update -->

Every key has a default. Set keys in a YAML file (` + "`--config FILE`, or `" + DefaultFile + "`" + ` in the working directory), in the environment, or with flags. Flags override the environment, and the environment overrides the file.

| | name of ` + "`kafka.group_id`" + ` | rule |
| --- | --- | --- |
| file | ` + "`group_id`" + ` in the section ` + "`kafka`" + ` | |
| environment | ` + "`VERDICT_KAFKA_GROUP_ID`" + ` | ` + "`VERDICT_`" + ` and the key in capitals, with ` + "`_` for `.`" + ` |
| flag | ` + "`--kafka-group-id`" + ` | the key with ` + "`-` for `.` and `_`" + ` |

- Lists in the environment and in flags are separated by commas. Durations look like ` + "`200ms`, `65s` or `1m30s`" + `, and sizes like ` + "`64KiB` or `32MiB`" + `.
- Unknown keys and invalid values are errors. Verdict reports all of them at once, suggests the nearest key for an unknown one, and exits with status 2.
- Secrets can be read from files (` + "`api.key_file`, `kafka.sasl.password_file`" + `). Verdict never shows them.

[configs/verdict.example.yaml](../configs/verdict.example.yaml) has every key and is a file to start from. ` + "`verdict check`" + ` tells you whether a configuration works.
`)
	open := ""
	for k := range Keys() {
		section, _, _ := strings.Cut(k.Name, ".")
		if section != open {
			fmt.Fprintf(&b, "\n## %s\n\n| key | type | default | meaning |\n| --- | --- | --- | --- |\n", section)
			open = section
		}
		value := "none"
		if k.Default != "" {
			value = "`" + k.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Name, k.Type, value, strings.ReplaceAll(k.Description(), "|", `\|`))
	}
	return b.String()
}

func TestReferenceIsUpToDate(t *testing.T) {
	if *update {
		if err := os.WriteFile(referenceFile, []byte(reference()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(data) != reference() {
		t.Errorf("%s is out of date; run go test ./configs -update", referenceFile)
	}
}
