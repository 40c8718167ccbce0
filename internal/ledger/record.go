package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"verdict/internal/decision"
)

// maxValue bounds the value of a record in bytes.
const maxValue = 1 << 20

// maxText bounds the texts that people give: an actor, a reason.
const maxText = decision.MaxTextSize

// Author says who did something, with what, and why.
type Author struct {
	Actor   string `json:"actor"`         // a name that the person gave, or user@host
	Host    string `json:"host"`          // the machine
	Run     string `json:"run"`           // one run of the program; no two have the same
	Command string `json:"command"`       // of Verdict, such as "hold"
	Why     string `json:"why,omitempty"` // in the person's words
}

// Entry is what the control topic says under one key. One of the pointers is set, the one
// of the key's kind.
type Entry struct {
	At time.Time `json:"at"`
	Author

	Batch    *Batch    `json:"batch,omitempty"`
	Hold     *Hold     `json:"hold,omitempty"`
	Rate     *Rate     `json:"rate,omitempty"`
	Window   *Window   `json:"window,omitempty"`
	Instance *Instance `json:"instance,omitempty"`
}

// Batch is how far a batch got. Its submit writes it together with the rows.
type Batch struct {
	Topic     string    `json:"topic"`              // that the rows are sent to
	TopicID   string    `json:"topic_id,omitempty"` // which a topic that is made again changes
	Size      int64     `json:"size"`               // decisions
	Content   string    `json:"content"`
	Files     []string  `json:"files,omitempty"`
	Choices   string    `json:"choices,omitempty"` // the flags that change what a row becomes
	Began     time.Time `json:"began"`             // zero: not known
	Submitter Author    `json:"submitter"`         // who began it
	// Runs are those that sent its rows, by Author.Run. Each of its records names one in
	// decision.HeaderRun, and belongs to it for that reason alone.
	Runs []string `json:"runs"`
	// Redrive says that its decisions are dead letters that went back.
	Redrive bool `json:"redrive,omitempty"`
	// FirstEdition says that a Verdict without a ledger began it: its topic may hold rows
	// that name the batch and no run.
	FirstEdition bool `json:"first_edition,omitempty"`
	// Overwrite says that they may change a task that stands at the opposite state.
	Overwrite bool `json:"overwrite,omitempty"`

	// Begin is where each partition of Topic ended before the first row was sent.
	Begin map[int]int64 `json:"begin"`
	Done  int64         `json:"done"`             // rows up to this one are sent, or are not to be sent
	Sent  int64         `json:"sent"`             // decisions among them
	Ended time.Time     `json:"ended,omitzero"`   // when the last one was sent; zero: not yet
	Stop  float64       `json:"stop_at,omitzero"` // the share of dead letters at which it is held by itself

	Approval *Approval `json:"approval,omitempty"` // nil: it needs none
	// Result is what became of it, noted by the first who saw that all was settled.
	Result *BatchResult `json:"result,omitempty"`
}

// Lane returns the topic in which the service finds the batch's decisions, and where they begin
// there. Those that wait for approval are in Topic still. A redrive's are in none of its own.
func (b *Batch) Lane() (topic string, begin map[int]int64) {
	if b.Approval != nil && b.Approval.By != nil { // moved, or being moved
		return b.Approval.To, b.Approval.Begin
	}
	return b.Topic, b.Begin
}

// Approval is how far a batch that waits in the topic for held decisions was approved.
type Approval struct {
	By *Author   `json:"by,omitempty"` // nil: nobody has yet
	At time.Time `json:"at,omitzero"`  // of the approval
	To string    `json:"to"`           // the topic that its decisions are to be moved to: its lane's
	// Begin is where each partition of To ended before the first decision was moved.
	Begin map[int]int64 `json:"begin,omitempty"`
	Moved map[int]int64 `json:"moved,omitempty"` // offsets of Batch.Topic before which all is moved
	Count int64         `json:"count"`           // decisions that were moved
	Ended time.Time     `json:"ended,omitzero"`  // when the last one was moved; zero: not yet
}

// BatchResult counts what became of a batch.
type BatchResult struct {
	At           time.Time `json:"at"` // of the last decision
	Settled      int64     `json:"settled"`
	DeadLettered int64     `json:"dead_lettered"`
}

// Hold is whether a batch, a lane or a task is held. Once written it stays, with Held false
// after a resume.
type Hold struct {
	Held bool `json:"held"`
	// Cancelled are the offsets, by topic and partition, before which what was not begun is
	// cancelled. Only a batch has them.
	Cancelled map[string]map[int]int64 `json:"cancelled,omitempty"`
}

// Rate is the group's rate instead of the configured one.
type Rate struct {
	PerSecond float64   `json:"per_second"`     // 0: the configured one
	Until     time.Time `json:"until,omitzero"` // zero: until another one
}

// WindowSize is the number of offsets in a Window.
const WindowSize = 24000

// Window says what became of the dead letters in WindowSize offsets of a partition. Offset i
// of the window is bit i%8 of byte i/8; zero bytes at the end are left out.
type Window struct {
	Redriven  []byte `json:"redriven,omitempty"`
	Dismissed []byte `json:"dismissed,omitempty"`
}

// Instance is what an instance says of itself every few seconds. It removes its entry when
// it stops; one that was killed leaves it, so its age counts.
type Instance struct {
	Started time.Time `json:"started"`
	Version string    `json:"version"`
	// Status is the line that the instance logs each minute and shows under /readyz.
	Status     string           `json:"status"`
	Ready      bool             `json:"ready"`
	Partitions int              `json:"partitions"` // owned
	Backlog    map[string]int64 `json:"backlog"`    // records in them that are not settled, by lane
	InFlight   int              `json:"in_flight"`
	RateLimit  float64          `json:"rate_limit"` // calls a second that it may make now; 0: unlimited
	RateUsed   float64          `json:"rate_used"`  // calls a second since its last entry
	Pauses     []Pause          `json:"pauses,omitempty"`
}

// Pause is why an instance, one lane of it, or one batch makes no calls.
type Pause struct {
	Cause string    `json:"cause"`           // decision.PauseCause or decision.LanePauseCause
	Lane  string    `json:"lane,omitempty"`  // empty: all
	Batch string    `json:"batch,omitempty"` // the one of the lane's batches that is refused; empty: none, or all
	Since time.Time `json:"since"`
}

// Act is a record of the audit topic: something that was done, and to what.
type Act struct {
	Key string    `json:"key"` // as in the control topic
	At  time.Time `json:"at"`
	Author
	Details map[string]string `json:"details,omitempty"` // what the command adds, in words
	// Entry is the value that was written under the key, where that was signed. The act's
	// record has the same headers, so that it is a witness of the command, see State.Witness.
	Entry json.RawMessage `json:"entry,omitempty"`
}

// document is an Entry as it is written: it names its key once more.
type document struct {
	Key string `json:"key"`
	Entry
}

// Encode returns the value of a record of the control topic.
func (e *Entry) Encode(group string, key Key) ([]byte, error) {
	if err := e.validate(key.Kind); err != nil {
		return nil, fmt.Errorf("ledger: write %s: %w", key.In(group), err)
	}
	return json.Marshal(document{Key: key.In(group), Entry: *e})
}

func decodeEntry(group string, key Key, value []byte) (Entry, error) {
	if len(value) > maxValue {
		return Entry{}, fmt.Errorf("it has %d bytes, more than %d", len(value), maxValue)
	}
	var d document
	dec := json.NewDecoder(bytes.NewReader(value))
	if err := dec.Decode(&d); err != nil {
		return Entry{}, fmt.Errorf("it is not a record of the ledger: %w", err)
	}
	if d.Key != key.In(group) {
		return Entry{}, errors.New("it was written for another key")
	}
	return d.Entry, d.validate(key.Kind)
}

func (e *Entry) validate(kind Kind) error {
	has := map[Kind]bool{
		KindBatch: e.Batch != nil, KindHold: e.Hold != nil, KindRate: e.Rate != nil,
		KindRedrive: e.Window != nil, KindInstance: e.Instance != nil,
	}
	for k, set := range has {
		if set != (k == kind) {
			return fmt.Errorf("it does not say what a %s is", kind)
		}
	}
	switch {
	case e.At.IsZero():
		return errors.New("it does not say when")
	case len(e.Actor) > maxText || len(e.Host) > maxText || len(e.Why) > maxText || len(e.Run) > maxText || len(e.Command) > maxText:
		return fmt.Errorf("one of its texts is longer than %d bytes", maxText)
	case e.Rate != nil && !(e.Rate.PerSecond >= 0 && e.Rate.PerSecond < 1e9):
		return fmt.Errorf("its rate is %v", e.Rate.PerSecond)
	case e.Window != nil && max(len(e.Window.Redriven), len(e.Window.Dismissed)) > WindowSize/8:
		return errors.New("its window is too large")
	}
	return nil
}

// Encode returns the value of a record of the audit topic.
func (a *Act) Encode() ([]byte, error) { return json.Marshal(a) }

// DecodeAct reads a record of the audit topic.
func DecodeAct(value []byte) (Act, error) {
	if len(value) > maxValue {
		return Act{}, fmt.Errorf("ledger: the act has %d bytes, more than %d", len(value), maxValue)
	}
	var a Act
	if err := json.Unmarshal(value, &a); err != nil {
		return Act{}, fmt.Errorf("ledger: it is not an act: %w", err)
	}
	return a, nil
}
