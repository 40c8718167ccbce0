package check

// Status says how a check ended.
type Status string

// The statuses of a check.
const (
	OK   Status = "ok"
	Warn Status = "warn" // run would work
	Fail Status = "fail" // run would not work
)

// Finding is the outcome of one check.
type Finding struct {
	Status Status `json:"status"`
	Name   string `json:"name"`
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"` // what to do about it
}

// Findings are the outcomes of all checks, in the order of the report.
type Findings []Finding

// Count returns the number of findings with a status.
func (f Findings) Count(s Status) int {
	n := 0
	for _, one := range f {
		if one.Status == s {
			n++
		}
	}
	return n
}

func (f *Findings) ok(name, detail string) {
	*f = append(*f, Finding{Status: OK, Name: name, Detail: detail})
}

func (f *Findings) warn(name, detail, hint string) {
	*f = append(*f, Finding{Warn, name, detail, hint})
}

func (f *Findings) fail(name, detail, hint string) {
	*f = append(*f, Finding{Fail, name, detail, hint})
}

// failErr records an error for which the check has no hint of its own.
func (f *Findings) failErr(name string, err error) {
	f.fail(name, err.Error(), "try again; if it keeps failing, see the brokers' logs")
}
