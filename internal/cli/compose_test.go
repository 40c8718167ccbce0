package cli

import (
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"verdict/configs"
)

// The commands, flags and environment of docker-compose.yml are valid.
func TestComposeCommandLinesAreValid(t *testing.T) {
	text, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Services map[string]struct {
			Build       map[string]string `yaml:"build"`
			Command     []string          `yaml:"command"`
			Environment map[string]string `yaml:"environment"`
		} `yaml:"services"`
	}
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for name, s := range doc.Services {
		if s.Build == nil {
			continue
		}
		seen++
		cmd, rest, err := rootCommand(Process{}).Find(s.Command)
		if err != nil || cmd.Name() != s.Command[0] {
			t.Errorf("%s: no command %v: %v", name, s.Command, err)
			continue
		}
		if err := cmd.ParseFlags(rest); err != nil {
			t.Errorf("%s: %v: %v", name, s.Command, err)
		}
		var environ []string
		for k, v := range s.Environment {
			environ = append(environ, k+"="+v)
		}
		if len(environ) == 0 {
			continue
		}
		if _, err := configs.Load(configs.Sources{Env: environ, Flags: cmd.Flags(), NeedAPIKey: true}); err != nil && strings.Contains(err.Error(), "VERDICT_") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if seen < 4 {
		t.Errorf("only %d services run verdict", seen)
	}
}
