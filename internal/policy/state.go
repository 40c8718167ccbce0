package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"verdict/internal/decision"
)

// maxChecks is how many checks of a task are remembered: the last that changed
// its counts. It is above MaxTimes, so that those which count are always among
// them.
const maxChecks = 64

// state is the counts of one task.
type state struct {
	// checks are the IDs of the last checks that changed the counts, oldest
	// first; run is how many of the last ones are fails that count now.
	checks []string
	run    int
	// decided is what was decided last, and by which decision; empty: nothing.
	decided    decision.State
	decisionID string
	// seq counts the changes of this state. The same results in the same order
	// make the same state under the same number, so that of two records of a
	// task the one with the higher number knows more, whoever wrote it and
	// whenever it arrived.
	seq     uint64
	changed time.Time // by the clock of the instance that changed it
	dirty   bool      // not yet written
}

// add remembers a check that changes the counts.
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

// stateRecord is a state as the value of its record; the key is Task.key.
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

// decodeState reads a state back. It takes only what encode can have written:
// to go on from anything else would be to decide from counts that nobody made.
func decodeState(value []byte) (*state, error) {
	var r stateRecord
	if len(value) > decision.MaxRecordSize {
		return nil, fmt.Errorf("%d bytes are more than a state has", len(value))
	}
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, err
	}
	switch {
	case r.Version != stateVersion:
		return nil, fmt.Errorf("version %d; this program knows %d", r.Version, stateVersion)
	case r.Seq == 0, len(r.Checks) == 0, len(r.Checks) > maxChecks, r.Run < 0, r.Run > min(len(r.Checks), MaxTimes):
		return nil, errors.New("counts that can't be")
	case r.Decided != "" && r.Decided != decision.CompletedPass && r.Decided != decision.CompletedFail:
		return nil, errors.New("a decision that can't be")
	}
	return &state{
		checks: r.Checks, run: r.Run, decided: r.Decided, decisionID: r.DecisionID,
		seq: r.Seq, changed: r.ChangedAt.Time,
	}, nil
}
