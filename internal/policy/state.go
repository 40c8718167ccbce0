package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"verdict/internal/decision"
)

// maxChecks is the number of checks that a task's counts remember: the last ones
// that changed them. It is above maxTimes, so that those which count are among them.
const maxChecks = 64

// state holds the counts of one task.
type state struct {
	// checks holds the IDs of the last checks that changed the counts, oldest first.
	// The last run of them are fails that count now.
	checks []string
	run    int
	// decided is the last state that was decided, and decisionID that decision;
	// empty: none was.
	decided    decision.State
	decisionID string
	// seq counts the changes of this state. The same results in the same order
	// give the same state with the same number. Of two records of a task the one
	// with the higher number is therefore the newer one, whoever wrote it and
	// whenever it arrived.
	seq     uint64
	changed time.Time // by the clock of the instance that changed it
	dirty   bool      // not written yet; its key is in Counts.dirty
}

// add adds a check that changes the counts.
func (s *state) add(check string, now time.Time) {
	if len(s.checks) >= maxChecks {
		s.checks = append(s.checks[:0], s.checks[len(s.checks)-maxChecks+1:]...)
	}
	s.checks = append(s.checks, check)
	s.seq++
	s.changed = now
}

// stateVersion is the version of stateRecord.
const stateVersion = 1

// stateRecord is the value of a state's record; the key is Task.key.
type stateRecord struct {
	Version    int            `json:"v"`
	Seq        uint64         `json:"seq"`
	Checks     []string       `json:"checks"`
	Run        int            `json:"run,omitempty"`
	Decided    decision.State `json:"decided,omitempty"`
	DecisionID string         `json:"decision_id,omitempty"`
	ChangedAt  decision.Time  `json:"changed_at"`
}

func (s *state) encode() ([]byte, error) {
	return json.Marshal(stateRecord{
		Version: stateVersion, Seq: s.seq, Checks: s.checks, Run: s.run,
		Decided: s.decided, DecisionID: s.decisionID, ChangedAt: decision.Time{Time: s.changed},
	})
}

// decodeState reads a state back. It accepts only what encode can have written, so
// that no decision rests on counts that were never made.
func decodeState(value []byte) (*state, error) {
	var r stateRecord
	if len(value) > decision.MaxRecordSize {
		return nil, fmt.Errorf("it has %d bytes; the limit is %d", len(value), decision.MaxRecordSize)
	}
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, err
	}
	switch {
	case r.Version != stateVersion:
		return nil, fmt.Errorf("it has version %d; this program reads version %d", r.Version, stateVersion)
	case r.Seq == 0, len(r.Checks) == 0, len(r.Checks) > maxChecks, r.Run < 0, r.Run > min(len(r.Checks), maxTimes):
		return nil, errors.New("seq, checks or run is out of range")
	case r.Decided != "" && r.Decided != decision.CompletedPass && r.Decided != decision.CompletedFail:
		return nil, fmt.Errorf("decided must be %s or %s, is %q", decision.CompletedPass, decision.CompletedFail, decision.OneLine(string(r.Decided), 48))
	}
	return &state{
		checks: r.Checks, run: r.Run, decided: r.Decided, decisionID: r.DecisionID,
		seq: r.Seq, changed: r.ChangedAt.Time,
	}, nil
}
