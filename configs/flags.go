package configs

import (
	"strings"

	"github.com/spf13/pflag"
)

// RegisterFlags adds a flag for every key to fs. The flags only keep the given
// text: Load parses it, and so reports faults of flags together with all others.
func RegisterFlags(fs *pflag.FlagSet) {
	for _, k := range table {
		f := fs.VarPF(&flagValue{key: k}, k.Flag(), "", k.FlagUsage())
		f.DefValue = k.Default
		if k.Type == "boolean" {
			f.NoOptDefVal = "true"
		}
	}
}

// KeyOf returns the key that f sets, and reports whether f is a flag that
// RegisterFlags added rather than one of a command's own.
func KeyOf(f *pflag.Flag) (Key, bool) {
	v, ok := f.Value.(*flagValue)
	if !ok {
		return Key{}, false
	}
	return v.key, true
}

// flagValue implements pflag.Value for one key.
type flagValue struct {
	key  Key
	text string
	set  bool
}

// Set stores text. A list flag can be repeated.
func (v *flagValue) Set(text string) error {
	if v.set && v.key.Type == "list" {
		text = v.text + "," + text
	}
	v.text, v.set = text, true
	return nil
}

// String returns the text that pflag shows in help and errors: never a secret.
func (v *flagValue) String() string {
	if v.key.Secret {
		return NewSecret(v.text).String()
	}
	return v.text
}

// Type returns the name of the type in help.
func (v *flagValue) Type() string {
	if v.key.Type == "boolean" {
		return "bool" // pflag lets a flag of this type stand without a value
	}
	return v.key.Type
}

// choicesText lists the values of a closed set for people.
func choicesText(choices []string) string {
	s := strings.Join(choices, ", ")
	if rest, ok := strings.CutPrefix(s, ", "); ok {
		return rest + " or empty"
	}
	return s
}
