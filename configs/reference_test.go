package configs

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

const referenceFile = "../docs/configuration.md"

// reference is docs/configuration.md as the table of keys makes it.
func reference() string {
	var b strings.Builder
	b.WriteString(`# Configuration

<!-- Made from the code: go test ./configs -update -->

Every key has a default. A YAML file sets it (` + "`--config FILE`, or `" + DefaultFile + "`" + ` in the working folder if it is there), then the environment, then a flag; a later one wins. The environment's name is ` + "`VERDICT_`" + ` and the key in capitals with ` + "`_`" + ` for ` + "`.`" + `; the flag is the key with ` + "`-`" + ` for ` + "`.`" + ` and ` + "`_`" + `: ` + "`kafka.group_id`, `VERDICT_KAFKA_GROUP_ID`, `--kafka-group-id`" + `.

- Lists are separated by commas in the environment and in flags. Durations are written as ` + "`200ms`, `65s`, `1m30s`" + `, sizes as ` + "`64KiB`, `32MiB`" + `.
- A key that does not exist is an error, which suggests the nearest one; so is a value out of its range. All faults are named at once, with exit status 2.
- Secrets can be given as files (` + "`api.key_file`, `kafka.sasl.password_file`" + `), and are shown nowhere.

[configs/verdict.example.yaml](../configs/verdict.example.yaml) is the same as a file to begin with; ` + "`verdict check`" + ` says whether a configuration would work.
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

func TestTheReferenceIsWhatTheKeysMake(t *testing.T) {
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
		t.Errorf("%s is not what the keys make; go test ./configs -update writes it", referenceFile)
	}
}
