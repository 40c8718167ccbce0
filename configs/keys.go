package configs

import (
	"iter"
	"reflect"
	"slices"
	"strings"
	"time"
)

// envPrefix begins the name of every environment variable.
const envPrefix = "VERDICT_"

// Key is one key of the configuration.
type Key struct {
	Name    string   // such as kafka.commit_interval
	Type    string   // such as duration, as it is called in --help
	Default string   // as it would be written in an environment variable
	Help    string   // a sentence or two, with unit and meaning of zero
	Choices []string // the closed set that it is from; nil: none
	Secret  bool     // whether its value is not to be shown

	index []int // of its field in Config
}

// Env is the name of the environment variable that sets the key.
func (k Key) Env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(k.Name, ".", "_"))
}

// Flag is the name of the flag that sets the key, without dashes.
func (k Key) Flag() string {
	return strings.NewReplacer(".", "-", "_", "-").Replace(k.Name)
}

// Keys is every key, in the order of the reference.
func Keys() iter.Seq[Key] { return slices.Values(table) }

var (
	table    = walk(nil, reflect.TypeFor[Config](), "", nil) // every key, in the order of Config
	byName   = index(Key.name)
	byEnv    = index(Key.Env)
	sections = sectionsOf(table)
)

func (k Key) name() string { return k.Name }

// field is where cfg holds the key's value.
func (k Key) field(cfg *Config) reflect.Value {
	return reflect.ValueOf(cfg).Elem().FieldByIndex(k.index)
}

// walk appends the keys of a section to table.
func walk(table []Key, section reflect.Type, prefix string, at []int) []Key {
	for i := range section.NumField() {
		f := section.Field(i)
		name, index := prefix+f.Tag.Get("key"), append(slices.Clone(at), i)
		text, leaf := f.Tag.Lookup("default")
		if !leaf {
			table = walk(table, f.Type, name+".", index)
			continue
		}
		k := Key{Name: name, Default: text, Help: f.Tag.Get("help"), index: index}
		switch v := reflect.Zero(f.Type).Interface().(type) {
		case choice:
			k.Type, k.Choices = "choice", v.Choices()
		case Secret:
			k.Type, k.Secret = "secret", true
		case []string:
			k.Type = "list"
		case time.Duration:
			k.Type = "duration"
		case Bytes:
			k.Type = "size"
		case int:
			k.Type = "integer"
		case float64:
			k.Type = "number"
		case bool:
			k.Type = "boolean"
		case string:
			k.Type = "text"
		default:
			panic("configs: " + name + ": no way to read a " + f.Type.String())
		}
		table = append(table, k)
	}
	return table
}

func index(name func(Key) string) map[string]Key {
	m := make(map[string]Key, len(table))
	for _, k := range table {
		if _, taken := m[name(k)]; taken {
			panic("configs: two keys are called " + name(k))
		}
		m[name(k)] = k
	}
	return m
}

// sectionsOf is the names of all sections, outer ones first.
func sectionsOf(table []Key) []string {
	var names []string
	for _, k := range table {
		for i, c := range k.Name {
			if c == '.' && !slices.Contains(names, k.Name[:i]) {
				names = append(names, k.Name[:i])
			}
		}
	}
	return names
}

// names is name of every key.
func names(name func(Key) string) []string {
	s := make([]string, len(table))
	for i, k := range table {
		s[i] = name(k)
	}
	return s
}
