package rows

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"verdict/internal/decision"
)

// list is the first of these names for a message.
func list(names []string) string {
	const most = 10
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// short is a name for a message, in quotes.
func short(name string) string {
	return fmt.Sprintf("%q", decision.OneLine(name, 48))
}

func sorted(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
