package sandbox

import (
	"bytes"
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

// Profiles says which tasks a profile has from the start, by its ID in lower
// case. It is asked at each call, from many goroutines, so a test can change a
// profile on the way; what a task's state became by a call is remembered whatever
// Profiles says later. Tasks beyond these exist as well, from their first touch
// on; but the ID of a variant of one of these is no task's, and is answered 404.
type Profiles func(profileID string) []passfort.Task

// ReadProfiles reads profiles from JSON: an object with the tasks of each profile
// under its ID, each task as the API writes it. Only id is required of a task;
// state is INCOMPLETE where there is none. Profiles that it does not name have no
// tasks from the start. The error names every fault.
func ReadProfiles(r io.Reader) (Profiles, error) {
	var file map[string][]passfort.Task
	dec := json.NewDecoder(r)
	if err := dec.Decode(&file); err != nil {
		return nil, fmt.Errorf(`profiles: %w; want {"<profile ID>": [{"id": "<task ID>", "type": …, "is_expired": …, "variant": {"id": …, "alias": …}}, …], …}`, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("profiles: something follows the object")
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

// kinds are the tasks that a made-up profile can have.
var kinds = [...]struct {
	alias, taskType, name string
}{
	{"identity", "INDIVIDUAL_VERIFY_IDENTITY", "Verify identity"},
	{"address", "INDIVIDUAL_VERIFY_ADDRESS", "Verify address"},
	{"screening", "INDIVIDUAL_ASSESS_MEDIA_AND_POLITICAL_AND_SANCTIONS_EXPOSURE", "Screen"},
	{"source-of-funds", "INDIVIDUAL_MANUAL_TASK", "Source of funds"},
	{"final-review", "INDIVIDUAL_MANUAL_TASK", "Final review"},
}

// SeededProfiles makes up profiles, each by its ID and the seed alone. Every one
// has a live task of each of the aliases identity, address, screening,
// source-of-funds and final-review; the last two are of one type. Of every second
// profile or so screening is skipped, and of every second there is an expired
// task of alias identity before the live one.
func SeededProfiles(seed uint64) Profiles {
	return func(profileID string) []passfort.Task {
		profile, ok := parseID(profileID)
		if !ok {
			return nil
		}
		draw := func(n uint64) uint64 { return taskID{profile: profile, task: bytesOf(n, 0)}.hash(seed) }
		one := func(n, kind int) passfort.Task {
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
		lots := draw(0)
		var tasks []passfort.Task
		if lots&1 == 1 {
			old := one(len(kinds), 0)
			old.IsExpired = true
			tasks = append(tasks, old)
		}
		for i, k := range kinds {
			t := one(i, i)
			t.IsSkipped = k.alias == "screening" && lots&2 == 2
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

func (s *Sandbox) profile(id [16]byte) []passfort.Task {
	if s.options.Profiles == nil {
		return nil
	}
	return s.options.Profiles(formatID(id))
}

// among is the task that has this ID, and whether the ID is that of a task's
// variant instead.
func among(tasks []passfort.Task, id [16]byte) (task passfort.Task, ok, variant bool) {
	for i := range tasks {
		if k, ok := parseID(tasks[i].ID); ok && k == id {
			return tasks[i], true, false
		}
		k, ok := parseID(tasks[i].Variant.ID)
		variant = variant || ok && k == id
	}
	return passfort.Task{}, false, variant
}

// initial is the state in which a task is when it is touched first.
func (s *Sandbox) initial(id taskID) stateCode {
	task, _, _ := among(s.profile(id.profile), id.task)
	return stateCode(max(slices.Index(states[:], task.State), 0))
}

// all is the profile's tasks with their present states: those that it has from
// the start in their order, then the others that were touched.
func (s *Sandbox) all(profile [16]byte) []passfort.Task {
	touched := s.tasks.of(profile)
	var all []passfort.Task
	for _, t := range s.profile(profile) {
		id, ok := parseID(t.ID)
		if !ok || s.rejects(taskID{profile, id}) {
			continue
		}
		if i := slices.IndexFunc(touched, func(e entry) bool { return e.id.task == id }); i >= 0 {
			t.State = states[touched[i].state]
			touched = slices.Delete(touched, i, i+1)
		}
		all = append(all, t)
	}
	for _, e := range touched {
		all = append(all, passfort.Task{ID: formatID(e.id.task), State: states[e.state]})
	}
	return all
}

// appendJSON writes a text as JSON.
func appendJSON(b []byte, s string) []byte {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a text always encodes
	return append(b, bytes.TrimSuffix(text.Bytes(), []byte("\n"))...)
}
