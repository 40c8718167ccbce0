package rows

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"verdict/internal/decision"
)

// list joins names for a message, at most ten of them.
func list(names []string) string {
	const most = 10
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// quote returns a name from a file quoted for a message: one line, shortened.
func quote(name string) string {
	return fmt.Sprintf("%q", decision.OneLine(name, 48))
}

func quoteAll(names []string) []string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = quote(name)
	}
	return quoted
}

// shellQuote returns an argument as it is typed in a shell, without characters that
// can't be seen. Names of columns match without them.
func shellQuote(arg string) string {
	arg = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, decision.OneLine(arg, 400))
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-=.,/:", r)
	}
	if strings.IndexFunc(arg, func(r rune) bool { return !plain(r) }) < 0 {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
