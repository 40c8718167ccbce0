package resolve

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
)

func task(id, kind, alias string, expired bool) passfort.Task {
	return passfort.Task{ID: id, Type: kind, State: decision.Incomplete, IsExpired: expired, Variant: passfort.Variant{ID: "V-" + kind, Alias: alias}}
}

func TestKeyFindsTheOneLiveTask(t *testing.T) {
	identity, address := task("A1", "IDENTITY", "", false), task("b2", "ADDRESS", "home", false)
	work, old := task("c3", "ADDRESS", "work", false), task("d4", "ADDRESS", "home", true)
	const noAlias, noType = `the profile has no live task of alias "home"`, `the profile has no live task of type "ADDRESS"`
	for name, c := range map[string]struct {
		tasks  []passfort.Task
		key    decision.Key
		id     string
		reason decision.Reason
		text   string
	}{
		"by type":            {tasks: []passfort.Task{identity, address}, key: decision.Key{Type: "IDENTITY"}, id: "a1"},
		"by alias":           {tasks: []passfort.Task{identity, work, address}, key: decision.Key{Alias: "home"}, id: "b2"},
		"listed twice":       {tasks: []passfort.Task{identity, identity}, key: decision.Key{Type: "IDENTITY"}, id: "a1"},
		"beside expired one": {tasks: []passfort.Task{old, address}, key: decision.Key{Alias: "home"}, id: "b2"},
		"several": {tasks: []passfort.Task{address, identity, work}, key: decision.Key{Type: "ADDRESS"}, reason: decision.TaskAmbiguous,
			text: `the profile has 2 live tasks of type "ADDRESS"; name one by task_id: b2 (ADDRESS, alias "home", INCOMPLETE), c3 (ADDRESS, alias "work", INCOMPLETE)`},
		"no task":        {key: decision.Key{Alias: "home"}, reason: decision.TaskNotFound, text: noAlias},
		"another's":      {tasks: []passfort.Task{identity}, key: decision.Key{Alias: "home"}, reason: decision.TaskNotFound, text: noAlias + "; it has A1 (IDENTITY, INCOMPLETE)"},
		"only expired":   {tasks: []passfort.Task{old, old}, key: decision.Key{Type: "ADDRESS"}, reason: decision.TaskNotFound, text: noType + ", only expired ones (2)"},
		"type for alias": {tasks: []passfort.Task{old, identity}, key: decision.Key{Alias: "IDENTITY"}, reason: decision.TaskNotFound, text: `the profile has no live task of alias "IDENTITY"; it has A1 (IDENTITY, INCOMPLETE)`},
	} {
		id, err := NewListing(time.Time{}, 200, c.tasks).Find(c.key)
		e, _ := errors.AsType[*Error](err)
		if e == nil {
			e = &Error{Status: 200}
		}
		if id != c.id || e.Reason != c.reason || e.text != c.text || e.Status != 200 {
			t.Errorf("%s: %q, %+v", name, id, e)
		}
	}
}

func TestIDOfAVariantIsExplained(t *testing.T) {
	one, other := task("A1", "IDENTITY", "", false), task("b2", "IDENTITY", "", false)
	old, older := task("c3", "IDENTITY", "", true), task("d4", "IDENTITY", "", true)
	const isVariant = "v-identity is the ID of a task variant, not of a task; the profile's "
	for want, tasks := range map[string][]passfort.Task{
		"":                                       {task("e5", "ADDRESS", "", false)},
		isVariant + "task of that variant is a1": {old, one},
		isVariant + "task of that variant is c3": {old},
		isVariant + "tasks of that variant are A1 (IDENTITY, INCOMPLETE), b2 (IDENTITY, INCOMPLETE)": {one, old, other},
		isVariant + "tasks of that variant are c3 (IDENTITY, INCOMPLETE), d4 (IDENTITY, INCOMPLETE)": {old, older},
	} {
		if got := NewListing(time.Time{}, 200, tasks).ExplainVariant("v-identity"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestManyTasksAreListedAsFarAsTheyFit: eleven of these have two thirds of the size of a
// dead letter's error.
func TestManyTasksAreListedAsFarAsTheyFit(t *testing.T) {
	var tasks []*passfort.Task
	for n := range 40 {
		text := candidates(tasks)
		if listed := strings.Count(text, "ADDRESS"); listed != min(n, 11) || strings.HasSuffix(text, fmt.Sprintf(" and %d more", n-listed)) != (listed < n) {
			t.Errorf("%d of %d are listed: %s", listed, n, text)
		}
		one := task(fmt.Sprintf("%036d", n), "ADDRESS", "", false)
		tasks = append(tasks, &one)
	}
}
