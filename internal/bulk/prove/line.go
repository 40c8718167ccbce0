package prove

import (
	"time"

	"verdict/internal/decision"
	"verdict/internal/ledger"
)

// format is the version of the evidence that this package makes and checks.
const format = 1

// The types of lines.
const (
	typeManifest = "manifest"
	typeDecision = "decision"
	typeCommand  = "command"
	typeEnd      = "end"
)

// Manifest is the first line.
type Manifest struct {
	Type    string `json:"type"`
	Format  int    `json:"format"`
	Batch   string `json:"batch"`
	Group   string `json:"group"`
	Cluster string `json:"cluster"`
	Topics  Topics `json:"topics"`
	Made    Made   `json:"made"`
	// Members says how it is known which records belong to the batch.
	Members Members `json:"members"`
	// Ledger is the batch's entry in the ledger; nil: it has none. A batch of the first
	// edition may have one, and members by names all the same.
	Ledger *ledger.Entry `json:"ledger,omitempty"`
	// ReadTo is the offset, by topic and partition, up to which the topics were read.
	ReadTo map[string]map[int]int64 `json:"read_to"`
	// Unsettled is the number of decisions without a result or dead letter, with those that
	// the batch should have and were not found.
	Unsettled int64 `json:"unsettled"`
}

// Members says how it is known which records belong to a batch.
type Members string

// The ways.
const (
	ByRuns  Members = "runs"  // the ledger says which runs wrote them
	ByNames Members = "names" // they name the batch
)

// Topics are the topics that evidence was made from.
type Topics struct {
	Decisions   []string `json:"decisions"`
	Results     string   `json:"results"`
	DeadLetters string   `json:"dead_letters"`
	Control     string   `json:"control"`
	Audit       string   `json:"audit"`
}

// Made says who made evidence, and when.
type Made struct {
	At decision.Time `json:"at"`
	ledger.Author
	Version string `json:"version"` // of Verdict
}

// Decision is the line of a decision.
type Decision struct {
	Type   string            `json:"type"`
	Line   int64             `json:"line"`   // in the batch; 0: not known
	Origin decision.Position `json:"origin"` // of its first record
	// Outcome is how it ended: the outcome of a result, dead_lettered or unsettled. Reason is
	// the dead letter's.
	Outcome string `json:"outcome"`
	Reason  string `json:"dead_letter_reason,omitempty"`

	Record      *Record      `json:"record,omitempty"` // nil: retention had deleted it
	Results     []Result     `json:"results,omitempty"`
	DeadLetters []DeadLetter `json:"dead_letters,omitempty"`
	Redrives    []Redrive    `json:"redrives,omitempty"`
	Omitted     int64        `json:"omitted,omitempty"` // further parts, beyond maxParts and maxPartBytes
}

// Record is a record of a topic of decisions.
type Record struct {
	At          decision.Time `json:"at"` // the record's timestamp
	Run         string        `json:"run,omitempty"`
	ValueSHA256 string        `json:"value_sha256"`
	// Invalid reports that it can't be read as a decision. The fields below are then empty,
	// except perhaps ID.
	Invalid     bool   `json:"invalid,omitempty"`
	ID          string `json:"id,omitempty"`
	DecisionKey string `json:"decision_key,omitempty"`
	ProfileID   string `json:"profile_id,omitempty"`
	TaskID      string `json:"task_id,omitempty"`
	TaskAlias   string `json:"task_alias,omitempty"`
	TaskType    string `json:"task_type,omitempty"`
	State       string `json:"state,omitempty"`
	Source      string `json:"source,omitempty"`
	Reason      string `json:"reason,omitempty"`
	DecidedAt   string `json:"decided_at,omitempty"`
}

// Result is a record of the topic of results.
type Result struct {
	At          decision.Position `json:"at"`
	Of          decision.Position `json:"of"` // the record that it settled
	Outcome     string            `json:"outcome"`
	Attempts    int               `json:"attempts"`
	HTTPStatus  int               `json:"http_status,omitempty"`
	TaskState   string            `json:"task_state,omitempty"` // in the API's answer
	ReceivedAt  decision.Time     `json:"received_at"`
	CompletedAt decision.Time     `json:"completed_at"`
	ValueSHA256 string            `json:"value_sha256"`
}

// DeadLetter is a record of the topic of dead letters.
type DeadLetter struct {
	At          decision.Position `json:"at"`
	Of          decision.Position `json:"of"` // the record that it repeats
	Reason      string            `json:"reason"`
	Attempts    int               `json:"attempts"`
	HTTPStatus  int               `json:"http_status,omitempty"`
	FailedAt    decision.Time     `json:"failed_at"`
	Instance    string            `json:"instance,omitempty"`
	Dismissed   bool              `json:"dismissed,omitempty"` // by the ledger: somebody has dealt with it
	ValueSHA256 string            `json:"value_sha256"`
}

// Redrive is a redriven copy of a decision.
type Redrive struct {
	Place  decision.Position  `json:"place"`          // of the copy
	From   *decision.Position `json:"from,omitempty"` // the dead letter that it says it repeats
	Number int                `json:"number"`         // how often the decision was redriven, with this copy
	// ByLedger reports that the ledger says that the dead letter went back.
	ByLedger bool `json:"by_ledger,omitempty"`
	// Confirmed reports that it is what it says: see settled.go. Others do not count.
	Confirmed bool   `json:"confirmed"`
	Copy      Record `json:"copy"`
}

// Command is the line of an act.
type Command struct {
	Type   string    `json:"type"`
	Offset int64     `json:"offset"` // in the audit topic
	Key    string    `json:"key"`
	At     time.Time `json:"at"`
	ledger.Author
	Details map[string]string `json:"details,omitempty"`
	// Omitted reports that the act is too large to be shown: there are only its key and hash.
	Omitted     bool   `json:"omitted,omitempty"`
	ValueSHA256 string `json:"value_sha256"`
}

// Counts are what the lines add up to.
type Counts struct {
	Decisions int64 `json:"decisions"`
	// Outcomes counts decisions by their outcome, Reasons dead-lettered ones. Beyond a hundred
	// different ones, further ones count as "other".
	Outcomes  map[string]int64 `json:"outcomes"`
	Reasons   map[string]int64 `json:"dead_letter_reasons"`
	Unsettled int64            `json:"unsettled"`
	// NotFound is the part of the batch that is in none of the lines.
	NotFound int64 `json:"not_found"`
	// Gone counts decisions whose record retention had deleted.
	Gone int64 `json:"gone"`
	// Repeated counts decisions that have the line of the one before them.
	Repeated int64 `json:"repeated"`
	// Redriven counts decisions with a redrive that counts, Unconfirmed redrives that don't.
	Redriven    int64 `json:"redriven"`
	Unconfirmed int64 `json:"unconfirmed"`
	Omitted     int64 `json:"omitted"` // parts left out
	Commands    int64 `json:"commands"`
}

// End is the last line.
type End struct {
	Type      string `json:"type"`
	Counts    Counts `json:"counts"`
	Lines     int64  `json:"lines"` // with this one
	Signed    bool   `json:"signed"`
	PublicKey string `json:"public_key,omitempty"` // of Ed25519, in base64
}
