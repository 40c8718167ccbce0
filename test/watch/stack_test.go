package watch_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// service is a service of docker-compose.yml.
type service struct {
	Image string `yaml:"image"`
	Build struct {
		Target string `yaml:"target"`
	} `yaml:"build"`
	Command     []string `yaml:"command"`
	Ports       []string `yaml:"ports"`
	Volumes     []string `yaml:"volumes"`
	Restart     string   `yaml:"restart"`
	ReadOnly    bool     `yaml:"read_only"`
	Healthcheck struct {
		Test []string `yaml:"test"`
	} `yaml:"healthcheck"`
	DependsOn map[string]struct {
		Condition string `yaml:"condition"`
	} `yaml:"depends_on"`
}

// compose returns the services of docker-compose.yml.
func compose(t *testing.T) map[string]service {
	t.Helper()
	var doc struct {
		Services map[string]service `yaml:"services"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "docker-compose.yml")), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Services) < 6 {
		t.Fatalf("only %d services", len(doc.Services))
	}
	return doc.Services
}

// read returns a file of the repository.
func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// pinned matches an image with a full version.
var pinned = regexp.MustCompile(`^[\w./-]+:v?\d+\.\d+\.\d+(-[\w.]+)?$`)

func TestComposeServicesStartInOrder(t *testing.T) {
	services := compose(t)
	for name, s := range services {
		once := s.Restart == "no"
		switch {
		case s.Build.Target == "" && !pinned.MatchString(s.Image):
			t.Errorf("%s: the image %s is not pinned", name, s.Image)
		case !once && len(s.Healthcheck.Test) == 0:
			t.Errorf("%s: no health check", name)
		case len(s.Healthcheck.Test) > 0 && s.Healthcheck.Test[0] != "CMD":
			t.Errorf("%s: the health check needs a shell: %v", name, s.Healthcheck.Test)
		case s.Build.Target != "" && !s.ReadOnly:
			t.Errorf("%s: the root file system is not read-only", name)
		}
		for on, d := range s.DependsOn {
			other, ok := services[on]
			switch {
			case !ok:
				t.Errorf("%s depends on %s, which is not a service", name, on)
			case d.Condition == "service_healthy" && len(other.Healthcheck.Test) == 0:
				t.Errorf("%s waits for the health of %s, which has no health check", name, on)
			case (d.Condition == "service_completed_successfully") != (other.Restart == "no"):
				t.Errorf("%s depends on %s with condition %s", name, on, d.Condition)
			}
		}
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s: port %s is not on the loopback interface", name, port)
			}
		}
		for _, v := range s.Volumes {
			source, rest, _ := strings.Cut(v, ":")
			if _, err := os.Stat(filepath.Join(root, source)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if !strings.HasSuffix(rest, ":ro") {
				t.Errorf("%s can write to %s", name, source)
			}
		}
	}
	kafka := regexp.MustCompile(`<kafka\.version>(.+)</kafka\.version>`).FindStringSubmatch(read(t, "test/kafka/pom.xml"))
	if len(kafka) == 0 || services["kafka"].Image != "apache/kafka:"+kafka[1] {
		t.Errorf("image %s does not match the version in test/kafka/pom.xml, %v", services["kafka"].Image, kafka)
	}
}

func TestImageIsMinimalPinnedAndNotRoot(t *testing.T) {
	text := read(t, "Dockerfile")
	stages := map[string]string{} // name -> base
	last := ""
	for _, m := range regexp.MustCompile(`(?m)^FROM (\S+) AS (\S+)$`).FindAllStringSubmatch(text, -1) {
		from, name := m[1], m[2]
		if _, known := stages[from]; !known && from != "scratch" && !pinned.MatchString(from) {
			t.Errorf("%s is not pinned", from)
		}
		stages[name], last = from, name
	}
	if strings.Count(text, "\nFROM ") != len(stages) {
		t.Error("a FROM has no name")
	}
	if last != "verdict" || stages[last] != "base" || stages["base"] != "scratch" {
		t.Errorf("the default stage is %s from %s", last, stages[last])
	}
	for _, want := range []string{
		"CGO_ENABLED=0", "-trimpath", "\nUSER 65532:65532\n", "\nENTRYPOINT [\"/verdict\"]\n",
		"COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing: %q", want)
		}
	}
	for _, bad := range []string{"\nADD ", "latest", "apt-get", "sudo", "curl "} {
		if strings.Contains(strings.ReplaceAll(text, "#", ""), bad) {
			t.Errorf("not allowed: %q", bad)
		}
	}
	gomod := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "go.mod"))
	if !strings.HasPrefix(stages["build"], "golang:"+gomod[1]+".") {
		t.Errorf("%s does not match the Go version in go.mod, %s", stages["build"], gomod[1])
	}
	for name, s := range compose(t) {
		if s.Build.Target != "" && stages[s.Build.Target] == "" {
			t.Errorf("%s: no stage %s", name, s.Build.Target)
		}
	}
}

func TestStackConnectsGrafanaPrometheusAndVerdict(t *testing.T) {
	services := compose(t)
	var scrape struct {
		Jobs []struct {
			Name string `yaml:"job_name"`
			DNS  []struct {
				Names []string `yaml:"names"`
			} `yaml:"dns_sd_configs"`
		} `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "configs/prometheus/prometheus.yml")), &scrape); err != nil {
		t.Fatal(err)
	}
	for _, j := range scrape.Jobs {
		for _, d := range j.DNS {
			for _, n := range d.Names {
				if _, ok := services[n]; !ok {
					t.Errorf("job %s scrapes %s, which is not a service", j.Name, n)
				}
			}
		}
	}
	if scrape.Jobs[0].Name != "verdict" { // VerdictNoInstanceUp needs this name
		t.Errorf("the first job is %s", scrape.Jobs[0].Name)
	}
	var sources struct {
		All []struct {
			URL string `yaml:"url"`
		} `yaml:"datasources"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "configs/grafana/provisioning/datasources/prometheus.yml")), &sources); err != nil {
		t.Fatal(err)
	}
	if _, ok := services["prometheus"]; !ok || len(sources.All) != 1 || sources.All[0].URL != "http://prometheus:9090" {
		t.Errorf("data sources: %v", sources.All)
	}
	var providers struct {
		All []struct {
			Options struct {
				Path string `yaml:"path"`
			} `yaml:"options"`
		} `yaml:"providers"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "configs/grafana/provisioning/dashboards/verdict.yml")), &providers); err != nil {
		t.Fatal(err)
	}
	for _, p := range providers.All {
		found := false
		for _, v := range services["grafana"].Volumes {
			found = found || strings.HasSuffix(v, ":"+p.Options.Path+":ro")
		}
		if !found {
			t.Errorf("no volume at %s, where Grafana looks for dashboards", p.Options.Path)
		}
	}
}
