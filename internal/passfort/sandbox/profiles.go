package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"slices"
	"strings"

	"verdict/internal/decision"
	"verdict/internal/passfort"
)

// Profiles returns the tasks that a profile has from the start. The profile's ID is in
// lower case. Every call asks for them, from any goroutine, so a test can change a
// profile on the way. The state that a call gave a task overrides what Profiles says
// later. Other tasks exist too, from the first call that names them, but a variant's ID
// is never a task's ID and is answered 404.
type Profiles func(profileID string) []passfort.Task

// ReadProfiles reads profiles from a JSON object that maps each profile's ID to an array
// of tasks, in the API's form. Of a task only id is required; the default of state is
// INCOMPLETE. Other profiles have no tasks from the start. The error names every fault.
func ReadProfiles(r io.Reader) (Profiles, error) {
	var file map[string][]passfort.Task
	dec := json.NewDecoder(r)
	if err := dec.Decode(&file); err != nil {
		return nil, fmt.Errorf(`profiles: %w; want {"<profile ID>": [{"id": "<task ID>", "type": …, "is_expired": …, "variant": {"id": …, "alias": …}}, …], …}`, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("profiles: unexpected data after the object")
	}
	known := make(map[string][]passfort.Task)
	var errs []error
	for _, profile := range slices.Sorted(maps.Keys(file)) {
		id := strings.ToLower(profile)
		if _, ok := parseID(id); !ok {
			errs = append(errs, fmt.Errorf("profile %q: want 8-4-4-4-12 hexadecimal digits", profile))
		}
		if _, twice := known[id]; twice {
			errs = append(errs, fmt.Errorf("profile %s: given twice", profile))
		}
		known[id] = file[profile]
		for i := range known[id] {
			t := &known[id][i]
			if t.State == "" {
				t.State = decision.Incomplete
			}
			if _, ok := parseID(t.ID); !ok {
				errs = append(errs, fmt.Errorf("profile %s, task %d: id %q, want 8-4-4-4-12 hexadecimal digits", profile, i+1, t.ID))
			}
			if !slices.Contains(states[:], t.State) {
				errs = append(errs, fmt.Errorf("profile %s, task %s: state %q, want one of %s", profile, t.ID, t.State, states))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("profiles: %w", err)
	}
	return func(profileID string) []passfort.Task { return known[profileID] }, nil
}

// kinds are the tasks of seeded profiles.
var kinds = [...]struct {
	alias, taskType, name string
}{
	{"identity", "INDIVIDUAL_VERIFY_IDENTITY", "Verify identity"},
	{"address", "INDIVIDUAL_VERIFY_ADDRESS", "Verify address"},
	{"screening", "INDIVIDUAL_ASSESS_MEDIA_AND_POLITICAL_AND_SANCTIONS_EXPOSURE", "Screen"},
	{"source-of-funds", "INDIVIDUAL_MANUAL_TASK", "Source of funds"},
	{"final-review", "INDIVIDUAL_MANUAL_TASK", "Final review"},
}

// SeededProfiles returns generated profiles that depend on their ID and the seed only.
// Each has a live task for each of the aliases identity, address, screening,
// source-of-funds and final-review; the last two have the same type. About half of the
// profiles have a skipped screening, and about half have an expired identity before the
// live one.
func SeededProfiles(seed uint64) Profiles {
	return func(profileID string) []passfort.Task {
		profile, ok := parseID(profileID)
		if !ok {
			return nil
		}
		draw := func(n uint64) uint64 { return taskID{profile: profile, task: bytesOf(n, 0)}.hash(seed) }
		newTask := func(n, kind int) passfort.Task {
			k := kinds[kind]
			h := fnv.New64a()
			h.Write([]byte(k.alias))
			return passfort.Task{
				ID: formatID(bytesOf(draw(uint64(2*n)+1), draw(uint64(2*n)+2))), State: decision.Incomplete, Type: k.taskType,
				Variant: passfort.Variant{
					ID: formatID(bytesOf(h.Sum64(), mix(seed, h.Sum64()))), Name: k.name + " - Sandbox", Alias: k.alias, TaskType: k.taskType,
				},
			}
		}
		coins := draw(0)
		var tasks []passfort.Task
		if coins&1 == 1 {
			old := newTask(len(kinds), 0)
			old.IsExpired = true
			tasks = append(tasks, old)
		}
		for i, k := range kinds {
			t := newTask(i, i)
			t.IsSkipped = k.alias == "screening" && coins&2 == 2
			tasks = append(tasks, t)
		}
		return tasks
	}
}

func bytesOf(a, b uint64) (id [16]byte) {
	for i := range 8 {
		id[i], id[8+i] = byte(a>>(8*i)), byte(b>>(8*i))
	}
	return id
}

// profile returns the tasks that a profile has from the start.
func (o *Options) profile(id [16]byte) []passfort.Task {
	if o.Profiles == nil {
		return nil
	}
	return o.Profiles(formatID(id))
}

// findTask returns the task with this ID, and reports whether there is one, or whether
// the ID is a variant's.
func findTask(tasks []passfort.Task, id [16]byte) (task passfort.Task, ok, variant bool) {
	for i := range tasks {
		if k, ok := parseID(tasks[i].ID); ok && k == id {
			return tasks[i], true, false
		}
		k, ok := parseID(tasks[i].Variant.ID)
		variant = variant || ok && k == id
	}
	return passfort.Task{}, false, variant
}

// initial returns the state of a task before the first call that names it.
func (o *Options) initial(id taskID) stateCode {
	task, _, _ := findTask(o.profile(id.profile), id.task)
	return stateCode(max(slices.Index(states[:], task.State), 0))
}

// currentTasks returns the profile's tasks in their current states: first those that it
// has from the start, then the other remembered ones.
func (s *Sandbox) currentTasks(profile [16]byte) []passfort.Task {
	remembered := s.tasks.ofProfile(profile)
	var all []passfort.Task
	for _, t := range s.options.profile(profile) {
		id, ok := parseID(t.ID)
		if !ok || s.options.rejects(taskID{profile, id}) {
			continue
		}
		if i := slices.IndexFunc(remembered, func(e entry) bool { return e.id.task == id }); i >= 0 {
			t.State = states[remembered[i].state]
			remembered = slices.Delete(remembered, i, i+1)
		}
		all = append(all, t)
	}
	for _, e := range remembered {
		all = append(all, passfort.Task{ID: formatID(e.id.task), State: states[e.state]})
	}
	return all
}
