package rows

import (
	"fmt"
	"maps"
	"slices"
	"strings"

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

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
