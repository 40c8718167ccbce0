package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"verdict/configs"
)

// execute runs a command line and returns the exit status and what it printed.
func execute(t *testing.T, args ...string) (status int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status = Execute(t.Context(), args, Process{In: strings.NewReader(""), Out: &stdout, Err: &stderr})
	return status, stdout.String(), stderr.String()
}

func TestHelpListsOwnFlagsAndNoKeys(t *testing.T) {
	for _, cmd := range rootCommand(Process{}).Commands() {
		status, out, _ := execute(t, cmd.Name(), "--help")
		if status != ExitDone || !cmd.HasExample() || !strings.Contains(out, "\nExamples:\n") || strings.Contains(out, "--kafka-group-id") {
			t.Errorf("%s: status %d:\n%s", cmd.Name(), status, out)
		}
		hasKeys := cmd.Flags().Lookup("kafka-group-id") != nil
		if pointed := strings.Contains(out, `For all keys, see "verdict help config".`); pointed != hasKeys {
			t.Errorf("%s: points to help config: %v, has keys: %v", cmd.Name(), pointed, hasKeys)
		}
		if hasKeys && !strings.Contains(out, "--config FILE") {
			t.Errorf("%s: no --config:\n%s", cmd.Name(), out)
		}
	}
}

func TestHelpConfigListsEveryKey(t *testing.T) {
	status, out, errs := execute(t, "help", "config")
	if status != ExitDone || errs != "" {
		t.Fatalf("status %d: %s", status, errs)
	}
	for k := range configs.Keys() {
		_, about, found := strings.Cut("\n"+out, "\n"+k.Name+"\n")
		about, _, _ = strings.Cut(about, "\n\n")
		unwrapped := strings.Join(strings.Fields(about), " ")
		for _, want := range []string{"--" + k.Flag(), k.Env(), k.Default, strings.Join(strings.Fields(k.Description()), " ")} {
			if !found || !strings.Contains(unwrapped, want) {
				t.Errorf("%s: no %q in %q", k.Name, want, about)
			}
		}
	}
	for line := range strings.Lines(out) {
		if len(line) > 81 && strings.Contains(strings.TrimSpace(line), " ") {
			t.Errorf("line of %d bytes: %s", len(line), line)
		}
	}
}

func TestHelpConfigWarnsOfSecretsInFlags(t *testing.T) {
	_, out, _ := execute(t, "help", "config")
	for k := range configs.Keys() {
		_, about, _ := strings.Cut("\n"+out, "\n"+k.Name+"\n")
		about, _, _ = strings.Cut(about, "\n\n")
		warning := "A flag is visible in the process list: prefer " + k.Env() + "."
		if warns := strings.Contains(strings.Join(strings.Fields(about), " "), warning); warns != k.Secret {
			t.Errorf("%s: warns of the process list: %v, is a secret: %v", k.Name, warns, k.Secret)
		}
	}
}

func TestHelpConfigTakesNoArguments(t *testing.T) {
	status, out, errs := execute(t, "help", "config", "kafka")
	want := "verdict: config takes no arguments, got \"kafka\"\nTry: verdict help --help\n"
	if status != ExitUsage || out != "" || errs != want {
		t.Errorf("status %d, %q %q, want %q", status, out, errs, want)
	}
}

func TestUnknownFlagNamesTheMostSimilar(t *testing.T) {
	for line, want := range map[string]string{
		"run --kafka-broker x":  "unknown flag --kafka-broker; did you mean --kafka-brokers?",
		"run --kafka_brokers x": "unknown flag --kafka_brokers; did you mean --kafka-brokers?",
		"demo --decisons 3":     "unknown flag --decisons; did you mean --decisions?",
		"redrive --dryrun":      "unknown flag --dryrun; did you mean --dry-run?",
		"run -x":                "unknown shorthand flag: 'x' in -x",
	} {
		status, out, errs := execute(t, strings.Fields(line)...)
		command, _, _ := strings.Cut(line, " ")
		if status != ExitUsage || out != "" || errs != "verdict: "+want+"\nTry: verdict "+command+" --help\n" {
			t.Errorf("%s: status %d, %q %q, want %q", line, status, out, errs, want)
		}
	}
}

// TestCompletionHasEveryClosedSet asks for the values of each key that has some.
func TestCompletionHasEveryClosedSet(t *testing.T) {
	for k := range configs.Keys() {
		if len(k.Choices) == 0 {
			continue
		}
		_, out, _ := execute(t, cobra.ShellCompRequestCmd, "run", "--"+k.Flag(), "")
		for _, value := range k.Choices {
			if value != "" && !strings.Contains("\n"+out, "\n"+value+"\n") {
				t.Errorf("--%s: no %q in %q", k.Flag(), value, out)
			}
		}
	}
}
