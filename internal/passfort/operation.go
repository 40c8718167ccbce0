package passfort

import "net/http"

// Operation is a kind of call. Its text is the metric label. A new operation is one
// constant, its place in Operations, its route, and the method of Client that makes
// it.
type Operation string

// The operations. Only OpComplete changes anything at the API.
const (
	OpComplete  Operation = "complete"
	OpGetTask   Operation = "get_task"
	OpListTasks Operation = "list_tasks"
	OpWhoAmI    Operation = "whoami"
)

// Operations lists every operation of Client.
var Operations = [...]Operation{OpComplete, OpGetTask, OpListTasks, OpWhoAmI}

var routes = map[Operation]struct{ method, template string }{
	OpComplete:  {http.MethodPost, "/profiles/{profile_id}/tasks/{task_id}"},
	OpGetTask:   {http.MethodGet, "/profiles/{profile_id}/tasks/{task_id}"},
	OpListTasks: {http.MethodGet, "/profiles/{profile_id}/tasks"},
	OpWhoAmI:    {http.MethodGet, "/whoami"},
}

// Route returns the operation's HTTP method, and the template of its path below the
// base URL.
func (o Operation) Route() (method, template string) {
	r := routes[o]
	return r.method, r.template
}
