package configs

import (
	"strings"

	"github.com/spf13/pflag"
)

// RegisterFlags adds a flag for every key. They hold text until Load reads it,
// so that their faults are named together with all others.
func RegisterFlags(fs *pflag.FlagSet) {
	for _, k := range table {
		usage := k.Help
		if len(k.Choices) > 0 {
			usage += " One of " + choicesText(k.Choices) + "."
		}
		if k.Secret {
			usage += " As a flag it shows in the list of processes: better set " + k.Env() + "."
		}
		f := fs.VarPF(&flagValue{key: k}, k.Flag(), "", usage)
		f.DefValue = k.Default
		if k.Type == "boolean" {
			f.NoOptDefVal = "true"
		}
	}
}

// flagValue is a flag as it was given.
type flagValue struct {
	key  Key
	text string
	set  bool
}

// Set takes the text; a list may be given by repeating its flag.
func (v *flagValue) Set(text string) error {
	if v.set && v.key.Type == "list" {
		text = v.text + "," + text
	}
	v.text, v.set = text, true
	return nil
}

// String is for pflag, which shows it in help and errors.
func (v *flagValue) String() string {
	if v.key.Secret {
		return NewSecret(v.text).String()
	}
	return v.text
}

// Type is what help calls the value.
func (v *flagValue) Type() string {
	if v.key.Type == "boolean" {
		return "bool" // the name by which pflag knows that no value need follow
	}
	return v.key.Type
}

// choicesText is a closed set as people read it.
func choicesText(choices []string) string {
	s := strings.Join(choices, ", ")
	if none, ok := strings.CutPrefix(s, ", "); ok {
		return none + " or empty"
	}
	return s
}
