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

// Key describes one configuration key, as help texts, shell completion and the
// generated reference need it.
type Key struct {
	Name    string   // full name, such as kafka.commit_interval
	Type    string   // what help calls its type, such as duration
	Default string   // the default, as it would be written in an environment variable
	Help    string   // a sentence or two, with the unit and the meaning of an empty value
	Choices []string // every value of a closed set; nil for other types
	Secret  bool     // whether the value must not be shown

	bounds bounds
	index  []int // index of its field in Config, for reflect.Value.FieldByIndex
}

// Env returns the name of the environment variable that sets the key.
func (k Key) Env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(k.Name, ".", "_"))
}

// Flag returns the name of the flag that sets the key, without dashes.
func (k Key) Flag() string {
	return strings.NewReplacer(".", "-", "_", "-").Replace(k.Name)
}

// Description returns Help, followed by the bounds or choices of the value.
func (k Key) Description() string {
	text := k.Help
	if b := k.bounds.String(); b != "" {
		text += " " + strings.ToUpper(b[:1]) + b[1:] + "."
	}
	if len(k.Choices) > 0 {
		text += " One of " + choicesText(k.Choices) + "."
	}
	return text
}

// FlagUsage returns Description, with a warning if the key is a secret.
func (k Key) FlagUsage() string {
	if !k.Secret {
		return k.Description()
	}
	return k.Description() + " A flag is visible in the process list: prefer " + k.Env() + "."
}

// Keys returns every key, in the order of the reference.
func Keys() iter.Seq[Key] { return slices.Values(table) }

var (
	table    = walk(nil, reflect.TypeFor[Config](), "", nil) // every key, in the order of Config
	byName   = index(Key.name)
	byEnv    = index(Key.Env)
	sections = sectionsOf(table)
)

func (k Key) name() string { return k.Name }

// field returns the field of cfg that holds the key's value.
func (k Key) field(cfg *Config) reflect.Value {
	return reflect.ValueOf(cfg).Elem().FieldByIndex(k.index)
}

// walk appends the keys of a section, and of the sections in it, to table.
func walk(table []Key, section reflect.Type, prefix string, at []int) []Key {
	for i := range section.NumField() {
		f := section.Field(i)
		name, index := prefix+f.Tag.Get("key"), append(slices.Clone(at), i)
		text, leaf := f.Tag.Lookup("default")
		if !leaf {
			table = walk(table, f.Type, name+".", index)
			continue
		}
		k := Key{Name: name, Default: text, Help: f.Tag.Get("help"), bounds: boundsOf(f.Tag), index: index}
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
			panic("configs: " + name + ": unsupported type " + f.Type.String())
		}
		table = append(table, k)
	}
	return table
}

// index maps name(k) to k for every key k.
func index(name func(Key) string) map[string]Key {
	m := make(map[string]Key, len(table))
	for _, k := range table {
		if _, taken := m[name(k)]; taken {
			panic("configs: two keys are named " + name(k))
		}
		m[name(k)] = k
	}
	return m
}

// sectionsOf returns the names of all sections, outer sections first.
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

// names returns name(k) for every key k.
func names(name func(Key) string) []string {
	s := make([]string, len(table))
	for i, k := range table {
		s[i] = name(k)
	}
	return s
}
