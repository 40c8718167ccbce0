package configs

import (
	"reflect"
	"strconv"
	"strings"
	"time"
)

// given is a value as a source gave it. YAML's own types play no part, so that
// a value means the same in a file, in the environment and as a flag.
type given struct {
	text   string
	list   []string // the members, where isList
	isList bool     // a YAML sequence; elsewhere a list is text with commas
}

// parse reads g into the field of a key, or says why not; the caller adds the key
// and the place. A fault never repeats a secret: any text can be one, so none
// is refused here.
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
			return &Fault{Wrong: shown(g.text) + " has no unit", Want: "add one, as in 200ms, 30s or 1m"}
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
		field.SetString(g.text) // text, or a choice: whether it is one is validated
	}
	if err != nil {
		return &Fault{Wrong: "is " + shown(g.text), Want: "want " + want}
	}
	return nil
}

// split is the members of a comma-separated list.
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
