// Package deploy_test checks the files in deploy against Verdict's configuration, which a
// schema cannot do. `make check-deploy` checks the manifests against their schemas.
package deploy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metricsql"
	"go.yaml.in/yaml/v3"

	"verdict/configs"
	"verdict/internal/decision"
)

const base = "../../deploy/kubernetes/base"

// document decodes a manifest.
func document(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// configured returns the configuration in the ConfigMap.
func configured(t *testing.T) configs.Config {
	t.Helper()
	var configMap struct{ Data map[string]string }
	document(t, filepath.Join(base, "configmap.yaml"), &configMap)
	file := filepath.Join(t.TempDir(), "verdict.yaml")
	if err := os.WriteFile(file, []byte(configMap.Data["verdict.yaml"]), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := configs.Load(configs.Sources{File: file, NeedAPIKey: true})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// deployment is the part of a Deployment that the tests check.
type deployment struct {
	Spec struct {
		Template struct {
			Spec struct {
				TerminationGracePeriodSeconds int `yaml:"terminationGracePeriodSeconds"`
				Containers                    []struct {
					Args  []string
					Ports []struct {
						Name          string
						ContainerPort int `yaml:"containerPort"`
					}
					VolumeMounts []struct {
						MountPath string `yaml:"mountPath"`
					} `yaml:"volumeMounts"`
				}
			}
		}
	}
}

func TestDeploymentFitsItsConfiguration(t *testing.T) {
	cfg := configured(t)
	var d deployment
	document(t, filepath.Join(base, "deployment.yaml"), &d)
	pod := d.Spec.Template.Spec
	container := pod.Containers[0]

	// After the drain, the last commit and the publisher's flush take up to 5 s each.
	if grace := time.Duration(pod.TerminationGracePeriodSeconds) * time.Second; grace < cfg.Processor.ShutdownTimeout+10*time.Second {
		t.Errorf("terminationGracePeriodSeconds is %v, too short for a shutdown_timeout of %v", grace, cfg.Processor.ShutdownTimeout)
	}
	if _, port, ok := strings.Cut(cfg.Admin.Addr, ":"); !ok || port != "9464" || container.Ports[0].ContainerPort != 9464 {
		t.Errorf("admin.addr is %s, the port %d", cfg.Admin.Addr, container.Ports[0].ContainerPort)
	}
	mounted := false
	for _, m := range container.VolumeMounts {
		mounted = mounted || filepath.Dir(cfg.API.KeyFile) == m.MountPath
	}
	if !mounted {
		t.Errorf("api.key_file is %s, which is in no volume", cfg.API.KeyFile)
	}
	if container.Args[0] != "run" || container.Args[2] != "/etc/verdict/verdict.yaml" {
		t.Errorf("args are %q", container.Args)
	}
}

func TestScaledObjectScalesByTheBacklogOfEachLane(t *testing.T) {
	var s struct {
		Spec struct {
			Triggers []struct{ Metadata map[string]string }
		}
	}
	document(t, "../../deploy/kubernetes/components/keda/scaledobject.yaml", &s)
	if len(s.Spec.Triggers) != len(decision.Lanes) {
		t.Fatalf("%d triggers, want one for each lane", len(s.Spec.Triggers))
	}
	for i, trigger := range s.Spec.Triggers {
		query := trigger.Metadata["query"]
		if _, err := metricsql.Parse(query); err != nil {
			t.Errorf("%s: %v", query, err)
		}
		if want := fmt.Sprintf(`sum(verdict_backlog{job="verdict", lane=%q})`, decision.Lanes[i]); !strings.Contains(query, want) {
			t.Errorf("the query is %s, want %s in it", query, want)
		}
	}
}

func TestSystemdUnitWaitsForTheDrain(t *testing.T) {
	unit, err := os.ReadFile("../../deploy/systemd/verdict.service")
	if err != nil {
		t.Fatal(err)
	}
	var stop time.Duration
	for line := range strings.Lines(string(unit)) {
		if seconds, ok := strings.CutPrefix(strings.TrimSpace(line), "TimeoutStopSec="); ok {
			if stop, err = time.ParseDuration(seconds + "s"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if want := configs.Default().Processor.ShutdownTimeout + 10*time.Second; stop < want {
		t.Errorf("TimeoutStopSec is %v, want at least %v", stop, want)
	}
}
