package configs

import (
	"reflect"
	"strconv"
	"strings"
	"time"
)

// given is a value as a source gave it. YAML's types are ignored, so that a value
// means the same in a file, in the environment and as a flag.
type given struct {
	text   string
	list   []string // the members, if isList
	isList bool     // a YAML sequence; other sources write lists as text with commas
}

// parse stores g in the field of a key, or returns a fault, to which the caller
// adds the key and the place. Faults never repeat a secret: every text is accepted
// as one.
func parse(g given, field reflect.Value) *Fault {
	if list, ok := reflect.TypeAssert[*[]string](field.Addr()); ok {
		if !g.isList {
			g.list = split(g.text)
		}
		*list = g.list
		return nil
	}
	if g.isList {
		return &Fault{Wrong: "is a list", Want: "give one value"}
	}
	var err error
	var want string
	switch p := field.Addr().Interface().(type) {
	case *Secret:
		*p = NewSecret(g.text)
	case *time.Duration:
		if _, bare := strconv.ParseFloat(g.text, 64); bare == nil {
			return &Fault{Wrong: "is " + quote(g.text) + ", without a unit", Want: "add one, as in 200ms, 30s or 1m"}
		}
		*p, err = time.ParseDuration(g.text)
		want = "a duration such as 200ms, 30s or 1m"
	case *Bytes:
		*p, err = parseBytes(g.text)
		want = "a size such as 512KiB, 32MiB or 65536 (bytes)"
	case *int:
		*p, err = strconv.Atoi(g.text)
		want = "a whole number"
	case *float64:
		*p, err = strconv.ParseFloat(g.text, 64)
		want = "a number"
	case *bool:
		want = "true or false"
		if *p = g.text == "true"; !*p && g.text != "false" {
			err = strconv.ErrSyntax
		}
	default:
		field.SetString(g.text) // text, or a choice, which the validator checks
	}
	if err != nil {
		return &Fault{Wrong: "is " + quote(g.text), Want: "want " + want}
	}
	return nil
}

// split returns the members of a comma-separated list.
func split(text string) []string {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	list := strings.Split(text, ",")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list
}
