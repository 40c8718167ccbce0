package service_test

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"verdict/internal/decision"
	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

// steadyAPI answers within tens of milliseconds.
var steadyAPI = sandbox.Options{Latency: 20 * time.Millisecond, Jitter: 20 * time.Millisecond}

// answer returns the fault that answers a call without doing it.
func answer(status int, body string) sandbox.Fault {
	return sandbox.Fault{Do: sandbox.Answer, Status: status, Body: body}
}

// setFaults sets how the API misbehaves; nil: it does not.
func (w *world) setFaults(faults func(sandbox.Call) sandbox.Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = faults
}

// allCalls returns every call so far, in the order of their arrival.
func (w *world) allCalls() []sandbox.Call {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.calls)
}

// callsOf returns the calls of one operation so far, in the order of their arrival.
func (w *world) callsOf(operation passfort.Operation) []sandbox.Call {
	return slices.DeleteFunc(w.allCalls(), func(c sandbox.Call) bool { return c.Operation != operation })
}

// completions returns the completing calls so far, in the order of their arrival.
func (w *world) completions() []sandbox.Call { return w.callsOf(passfort.OpComplete) }

// directory holds the tasks of a world's profiles. They may change while the world
// runs.
type directory struct {
	mu       sync.Mutex
	profiles map[string][]passfort.Task
}

// set sets the tasks of t's profile.
func (d *directory) set(t decision.Task, tasks ...passfort.Task) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.profiles == nil {
		d.profiles = make(map[string][]passfort.Task)
	}
	d.profiles[t.ProfileID] = tasks
}

// tasks returns the tasks of a profile.
func (d *directory) tasks(profileID string) []passfort.Task {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.profiles[profileID])
}

// listed returns t as the API lists it: open, with an alias and a type.
func listed(t decision.Task, alias, taskType string) passfort.Task {
	return passfort.Task{
		ID: t.TaskID, State: decision.Incomplete, Type: taskType,
		Variant: passfort.Variant{ID: variantID(alias), Name: "Variant " + alias, Alias: alias, TaskType: taskType},
	}
}

// variantID returns the ID of the variant with an alias.
func variantID(alias string) string {
	return fmt.Sprintf("eeeeeeee-0000-0000-0000-%012x", []byte(alias + "______")[:6])
}

func expired(t passfort.Task) passfort.Task { t.IsExpired = true; return t }
func skipped(t passfort.Task) passfort.Task { t.IsSkipped = true; return t }
