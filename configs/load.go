package configs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// DefaultFile is the file that is read where none is named and this one is in
// the working folder.
const DefaultFile = "verdict.yaml"

// Sources says where a configuration is read from.
type Sources struct {
	// File is the path of the YAML file, which must be there. Empty: DefaultFile,
	// if there is one.
	File string
	// Env is the environment in the form of os.Environ. Nil: none.
	Env []string
	// Flags has the flags of RegisterFlags, parsed; those given override. Nil: none.
	Flags *pflag.FlagSet
	// NeedAPIKey makes it a fault that neither api.key nor api.key_file is set:
	// for the commands that call the API.
	NeedAPIKey bool
}

// Default is the configuration of no sources at all.
func Default() Config {
	var c Config
	for _, k := range table {
		if f := parse(given{text: k.Default}, k.field(&c)); f != nil {
			panic("configs: default of " + k.Name + ": " + f.Error())
		}
	}
	return c
}

// Load reads the configuration from its sources and validates it. The error is
// a Faults with every fault; the Config is then what could be read, and the
// defaults elsewhere. A value that a later source overrides must be right too.
func Load(s Sources) (Config, error) {
	l := loader{cfg: Default(), from: make(map[string]string), broken: make(map[string]bool)}
	l.file(s.File)
	l.env(s.Env)
	l.flags(s.Flags)
	v := validator{cfg: l.cfg, from: l.from, broken: l.broken, needAPIKey: s.NeedAPIKey}
	return l.cfg, append(l.faults, v.faultsFound()...).err()
}

// loader lays one source over the other.
type loader struct {
	cfg    Config
	from   map[string]string // key -> where its value was given
	broken map[string]bool   // keys with a value that could not be read
	faults Faults
}

func (l *loader) set(k Key, g given, from string) {
	if f := parse(g, k.field(&l.cfg)); f != nil {
		f.Key, f.From = k.Name, from
		l.faults = append(l.faults, f)
		l.broken[k.Name] = true
		return
	}
	l.from[k.Name] = from
}

func (l *loader) file(path string) {
	named := path != ""
	if !named {
		path = DefaultFile
	}
	data, err := readFile(path)
	if !named && errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		l.faults = append(l.faults, &Fault{Key: theFile, Wrong: err.Error(), Want: "name a YAML file that can be read"})
		return
	}
	entries, faults := readYAML(path, data)
	l.faults = append(l.faults, faults...)
	for _, f := range faults {
		l.broken[f.Key] = true
	}
	for _, e := range entries {
		l.set(e.key, e.given, e.from)
	}
}

// readFile reads no more than shows that a file is too large.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return data, nil
}

func (l *loader) env(environ []string) {
	for _, e := range slices.Sorted(slices.Values(environ)) {
		name, value, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, envPrefix) {
			continue
		}
		if k, ok := byEnv[name]; ok {
			l.set(k, given{text: value}, name)
		} else if !ofKubernetes(name, value) {
			l.faults = append(l.faults, &Fault{
				Key:   plain(name),
				Wrong: "is not a known environment variable",
				Want:  "did you mean " + Nearest(name, names(Key.Env)) + "?",
			})
		}
	}
}

var serviceVar = regexp.MustCompile(`_SERVICE_(HOST|PORT(_.+)?)$|_PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$`)

// ofKubernetes says whether an environment variable is one of those by which
// Kubernetes tells every container of the services in its namespace: one that
// is called verdict, or verdict-metrics, must not keep Verdict from starting.
func ofKubernetes(name, value string) bool {
	return serviceVar.MatchString(name) || strings.HasSuffix(name, "_PORT") && strings.Contains(value, "://")
}

func (l *loader) flags(flags *pflag.FlagSet) {
	if flags == nil {
		return
	}
	for _, k := range table {
		f := flags.Lookup(k.Flag())
		if f == nil || !f.Changed {
			continue
		}
		if v, ok := f.Value.(*flagValue); ok { // else the flag is a command's own
			l.set(k, given{text: v.text}, "--"+f.Name)
		}
	}
}
