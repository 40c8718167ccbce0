package configs

import (
	"math"
	"reflect"
	"strings"
)

// bounds are the limits of a numeric key as its tags state them; empty means no
// limit. They say in text what the value must be, and check it.
type bounds struct {
	min, above string // inclusive and exclusive lower bound
	max, below string // inclusive and exclusive upper bound
	zero       string // what 0 means
}

func boundsOf(tag reflect.StructTag) bounds {
	return bounds{
		min: tag.Get("min"), above: tag.Get("above"),
		max: tag.Get("max"), below: tag.Get("below"),
		zero: tag.Get("zero"),
	}
}

// String returns the bounds as people read them, such as "1 to 10000", or empty if
// there are none.
func (b bounds) String() string {
	if b.min != "" && b.max != "" {
		return b.min + " to " + b.max
	}
	var parts []string
	for _, p := range [...]struct{ before, bound, after string }{
		{"", b.min, " or more"},
		{"more than ", b.above, ""},
		{"at most ", b.max, ""},
		{"below ", b.below, ""},
	} {
		if p.bound != "" {
			parts = append(parts, p.before+p.bound+p.after)
		}
	}
	s := strings.Join(parts, " and ")
	if b.zero != "" {
		s += ", where 0 means " + b.zero
	}
	return s
}

// allow reports whether a value is within the bounds. A key with bounds takes
// finite numbers only.
func (b bounds) allow(value reflect.Value) bool {
	if b == (bounds{}) {
		return true
	}
	n := number(value)
	limit := func(text string) float64 {
		v := reflect.New(value.Type()).Elem()
		if f := parse(given{text: text}, v); f != nil {
			panic("configs: bound " + text + ": " + f.Error())
		}
		return number(v)
	}
	return !math.IsNaN(n) && !math.IsInf(n, 0) &&
		(b.min == "" || n >= limit(b.min)) && (b.above == "" || n > limit(b.above)) &&
		(b.max == "" || n <= limit(b.max)) && (b.below == "" || n < limit(b.below))
}

// number returns the value of a numeric field. A float64 holds every bound of a
// duration or size exactly.
func number(v reflect.Value) float64 {
	if v.CanFloat() {
		return v.Float()
	}
	return float64(v.Int())
}
