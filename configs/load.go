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

// DefaultFile is read if no file is named and the working directory has it.
const DefaultFile = "verdict.yaml"

// Sources says where to read a configuration from.
type Sources struct {
	// File is the path of the YAML file, which must exist. Empty means DefaultFile,
	// if it exists.
	File string
	// Env is the environment in the form of os.Environ. Nil means none.
	Env []string
	// Flags are parsed flags of RegisterFlags. Those that were given override the
	// other sources. Nil means none.
	Flags *pflag.FlagSet
	// NeedAPIKey makes a missing API key a fault, for commands that call the API.
	NeedAPIKey bool
}

// Default returns the configuration with every key at its default.
func Default() Config {
	var c Config
	for _, k := range table {
		if f := parse(given{text: k.Default}, k.field(&c)); f != nil {
			panic("configs: default of " + k.Name + ": " + f.Error())
		}
	}
	return c
}

// Load reads and validates the configuration. Its error is a Faults with every
// fault; the Config then has the values that could be read, and defaults for the
// rest. A value that another source overrides must be readable too.
func Load(s Sources) (Config, error) {
	l := loader{cfg: Default(), from: make(map[string]string), unreadable: make(map[string]bool)}
	l.loadFile(s.File)
	l.loadEnv(s.Env)
	l.loadFlags(s.Flags)
	v := validator{cfg: l.cfg, from: l.from, unreadable: l.unreadable, needAPIKey: s.NeedAPIKey}
	return l.cfg, append(l.faults, v.check()...).err()
}

// loader applies one source after the other.
type loader struct {
	cfg        Config
	from       map[string]string // key -> where its value was given
	unreadable map[string]bool   // keys with a value that could not be read
	faults     Faults
}

func (l *loader) set(k Key, g given, from string) {
	if f := parse(g, k.field(&l.cfg)); f != nil {
		f.Key, f.From = k.Name, from
		l.faults = append(l.faults, f)
		l.unreadable[k.Name] = true
		return
	}
	l.from[k.Name] = from
}

func (l *loader) loadFile(path string) {
	named := path != ""
	if !named {
		path = DefaultFile
	}
	data, err := readFile(path)
	if !named && errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		l.faults = append(l.faults, &Fault{Key: wholeFile, Wrong: err.Error(), Want: "name a readable YAML file"})
		return
	}
	entries, faults := readYAML(path, data)
	l.faults = append(l.faults, faults...)
	for _, f := range faults {
		l.unreadable[f.Key] = true
	}
	for _, e := range entries {
		l.set(e.key, e.given, e.from)
	}
}

// readFile reads at most one byte more than a configuration file may have.
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

func (l *loader) loadEnv(environ []string) {
	for _, e := range slices.Sorted(slices.Values(environ)) {
		name, value, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, envPrefix) {
			continue
		}
		if k, ok := byEnv[name]; ok {
			l.set(k, given{text: value}, name)
		} else if name != ActorVar && !isServiceVar(name, value) {
			l.faults = append(l.faults, &Fault{
				Key:   quoteKey(name),
				Wrong: "is not a known environment variable",
				Want:  "did you mean " + Nearest(name, names(Key.Env)) + "?",
			})
		}
	}
}

// ActorVar is the environment variable that names the actor of commands. It is no key of the
// configuration.
const ActorVar = envPrefix + "ACTOR"

var serviceVar = regexp.MustCompile(`_SERVICE_(HOST|PORT(_.+)?)$|_PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$`)

// isServiceVar reports whether an environment variable is one that Kubernetes sets
// in every container for the services of its namespace. A service named verdict,
// or verdict-metrics, must not keep Verdict from starting.
func isServiceVar(name, value string) bool {
	return serviceVar.MatchString(name) || strings.HasSuffix(name, "_PORT") && strings.Contains(value, "://")
}

func (l *loader) loadFlags(flags *pflag.FlagSet) {
	if flags == nil {
		return
	}
	for _, k := range table {
		f := flags.Lookup(k.Flag())
		if f == nil || !f.Changed {
			continue
		}
		if v, ok := f.Value.(*flagValue); ok { // otherwise it is a command's own flag
			l.set(k, given{text: v.text}, "--"+f.Name)
		}
	}
}
