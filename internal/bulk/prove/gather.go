package prove

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"verdict/internal/broker"
	"verdict/internal/bulk/follow"
	"verdict/internal/bulk/spill"
	"verdict/internal/bulk/topicread"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

// sortBytes is the memory for sorting, in bytes.
const sortBytes = 8 << 20

// Evidence is what was found of a batch, to be written. Close it.
type Evidence struct {
	Manifest Manifest

	options Options
	lines   spill.Sorter // of decisions
	// decisions is the number of lines, notFound that of decisions which the batch should
	// have besides.
	decisions, notFound int64
	commands            commands
	state               *ledger.State         // nil: there is no ledger
	letters             ledger.Key            // of the topic of dead letters: of acts on it, and of its windows
	redrives            map[string]ledger.Key // keys of the ledger's redrives, by run
}

// Gather reads what there is of a batch: its entry in the ledger, its decisions, their results
// and their dead letters. It leaves no trace in Kafka.
func Gather(ctx context.Context, o Options) (_ *Evidence, err error) {
	e := &Evidence{options: o, lines: spill.Sorter{Dir: o.Dir, Limit: sortBytes}, redrives: make(map[string]ledger.Key)}
	defer func() {
		if err != nil {
			e.Close()
		}
	}()
	if o.Decode == nil {
		o.Decode = decision.Decode
	}
	cluster, err := e.clusterID(ctx)
	if err != nil {
		return nil, err
	}
	e.Manifest = Manifest{
		Type: typeManifest, Format: format, Batch: o.BatchID, Group: o.Ledger.Group, Cluster: cluster,
		Topics:  Topics{Decisions: o.Decisions, Results: o.Results, DeadLetters: o.DeadLetters, Control: o.Ledger.Control, Audit: o.Ledger.Audit},
		Made:    Made{At: decision.Time{Time: time.Now()}, Author: o.Ledger.Author, Version: o.Version},
		Members: ByNames,
	}
	read := follow.Options{
		Connection: o.Ledger.Connection, BatchID: o.BatchID, Decisions: o.Decisions, Results: o.Results, DeadLetters: o.DeadLetters,
		Progress: o.Progress, Decode: o.Decode, WentBack: o.WentBack, Retrying: o.Ledger.Retrying,
	}
	if err := e.readLedger(ctx, &read); err != nil {
		return nil, err
	}
	if err := e.commands.open(ctx, e); err != nil {
		return nil, err
	}
	parts := spill.Sorter{Dir: o.Dir, Limit: sortBytes}
	defer parts.Close()
	size, readTo, err := follow.Parts(ctx, read, func(p *follow.Part) error { return e.addPart(&parts, p) })
	if err != nil {
		return nil, err
	}
	if err := e.join(ctx, &parts); err != nil {
		return nil, err
	}
	if l := e.Manifest.Ledger; l != nil {
		size = l.Batch.Size
	}
	e.notFound = max(size-e.decisions, 0)
	e.Manifest.ReadTo = readTo
	e.Manifest.Unsettled += e.notFound
	return e, nil
}

// Close removes the temporary files.
func (e *Evidence) Close() { e.lines.Close() }

func (e *Evidence) clusterID(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, topicread.AnswerTimeout)
	defer cancel()
	return e.options.Ledger.Connection.ClusterID(ctx)
}

// readLedger takes from the ledger what it says of the batch, and which runs were redrives.
func (e *Evidence) readLedger(ctx context.Context, read *follow.Options) error {
	state, err := store.Read(ctx, e.options.Ledger, func(r *ledger.Refused) {
		if e.options.Refused != nil {
			e.options.Refused(r)
		}
	})
	if errors.Is(err, store.ErrMissing) {
		return nil
	}
	if err != nil {
		return err
	}
	id, err := store.TopicID(ctx, e.options.Ledger.Connection, e.options.DeadLetters)
	if err != nil && !errors.Is(err, broker.ErrNoTopic) {
		return err
	}
	e.state, e.letters = state, ledger.Key{Kind: ledger.KindRedrive, Name: id}
	if slices.Contains(state.Missing(), ledger.BatchKey(e.options.BatchID)) {
		return fmt.Errorf("the ledger lost the latest signed entry of batch %s, which the audit topic %s still has: somebody wrote over it, or the control topic %s was restored from an older copy",
			e.options.BatchID, e.options.Ledger.Audit, e.options.Ledger.Control)
	}
	for key, entry := range state.Of(ledger.KindBatch) {
		if entry.Batch.Redrive {
			for _, run := range entry.Batch.Runs {
				e.redrives[run] = key
			}
		}
	}
	entry, ok := state.Batch(e.options.BatchID)
	if !ok {
		return nil
	}
	b, m := entry.Batch, &e.Manifest
	if b.Redrive {
		return fmt.Errorf("%s is a redrive, whose decisions are those of other batches; name the batch that they were sent in", e.options.BatchID)
	}
	m.Ledger = &entry
	if !b.Began.IsZero() {
		read.Since = b.Began.Add(-topicread.ClockSkew)
	}
	if b.FirstEdition || len(b.Runs) == 0 { // some of its rows name no run
		return nil
	}
	m.Members, m.Topics.Decisions = ByRuns, []string{b.Topic}
	read.Begin = map[string]map[int]int64{b.Topic: b.Begin}
	if a := b.Approval; a != nil && a.To != "" && a.To != b.Topic {
		m.Topics.Decisions, read.Begin[a.To] = append(m.Topics.Decisions, a.To), a.Begin
	}
	read.Decisions, read.Runs = m.Topics.Decisions, b.Runs
	return nil
}

// windowOf returns what the ledger says became of dead letters, and where a letter is in it.
func (e *Evidence) windowOf(letter decision.Position) (w ledger.Window, at int64) {
	if e.state != nil && letter.Topic == e.options.DeadLetters {
		if entry, ok := e.state.Get(ledger.WindowKey(e.letters.Name, letter.Partition, letter.Offset/ledger.WindowSize)); ok {
			w = *entry.Window
		}
	}
	return w, letter.Offset % ledger.WindowSize
}

// wentBack reports whether the ledger says that a dead letter went back.
func (e *Evidence) wentBack(letter decision.Position) bool {
	w, at := e.windowOf(letter)
	return hasBit(w.Redriven, at)
}

// isDismissed reports whether the ledger says that somebody has dealt with a dead letter.
func (e *Evidence) isDismissed(letter decision.Position) bool {
	w, at := e.windowOf(letter)
	return hasBit(w.Dismissed, at)
}

func hasBit(bits []byte, at int64) bool {
	return at/8 < int64(len(bits)) && bits[at/8]&(1<<(at%8)) != 0
}

// mayHold reports whether the first record of a decision of the batch may be at a place: not
// before the batch began, and not where it waited for approval before it was moved.
func (e *Evidence) mayHold(o decision.Position) bool {
	l := e.Manifest.Ledger
	if e.Manifest.Members == ByNames {
		return slices.Contains(e.Manifest.Topics.Decisions, o.Topic)
	}
	b := l.Batch
	if o.Topic == b.Topic {
		return o.Offset >= b.Begin[o.Partition] && (b.Approval == nil || o.Offset >= b.Approval.Moved[o.Partition])
	}
	return b.Approval != nil && o.Topic == b.Approval.To && o.Offset >= b.Approval.Begin[o.Partition]
}

// The kinds of parts, in the order in which a decision's are sorted.
const (
	partRecord byte = iota
	partResult
	partLetter
	partCopy
)

// addPart sorts a part by its decision. Its key ends with its line in the batch, as far as
// it knows it, and is followed by what evidence says of it.
func (e *Evidence) addPart(parts *spill.Sorter, p *follow.Part) error {
	if !e.mayHold(p.Of) {
		return nil
	}
	var kind byte
	var shown any
	place, _ := decision.BatchPlaceOf(p.Record.Headers)
	at := p.Record.Origin()
	switch {
	case p.Result != nil:
		r := p.Result
		kind, shown = partResult, Result{
			At: at, Of: r.Origin, Outcome: string(r.Outcome), Attempts: r.Attempts, HTTPStatus: r.HTTPStatus, TaskState: taskState(r.Task),
			ReceivedAt: r.ReceivedAt, CompletedAt: r.CompletedAt, ValueSHA256: sum(p.Record.Value),
		}
	case p.Letter != nil:
		l := p.Letter
		place, _ = decision.BatchPlaceOf(l.Original.Headers)
		kind, shown = partLetter, DeadLetter{
			At: at, Of: l.Original.Origin(), Reason: string(l.Reason), Attempts: l.Attempts, HTTPStatus: l.HTTPStatus,
			FailedAt: l.FailedAt, Instance: l.Instance, Dismissed: e.isDismissed(at), ValueSHA256: sum(p.Record.Value),
		}
	case p.Copy:
		redrive := Redrive{Place: at, Number: max(decision.Redrives(p.Record), 1), Copy: recordOf(p)}
		if from, ok := decision.RedrivenFrom(p.Record); ok {
			redrive.From, redrive.ByLedger = &from, e.wentBack(from)
		}
		kind, shown = partCopy, redrive
	default:
		kind, shown = partRecord, recordOf(p)
	}
	text, err := json.Marshal(shown)
	if err != nil {
		return err
	}
	key := append(e.placeKey(p.Of), kind)
	key = append(key, e.placeKey(at)...)
	return parts.Add(binary.BigEndian.AppendUint64(key, uint64(place.Line)), text)
}

// placeSize is the size of a placeKey.
const placeSize = 4 + 8 + 1

// placeKey returns a place as it is sorted: by partition, offset and topic.
func (e *Evidence) placeKey(o decision.Position) []byte {
	key := binary.BigEndian.AppendUint32(make([]byte, 0, 64), uint32(o.Partition))
	key = binary.BigEndian.AppendUint64(key, uint64(o.Offset))
	return append(key, byte(slices.Index(e.Manifest.Topics.Decisions, o.Topic)))
}

func (e *Evidence) placeOf(key []byte) decision.Position {
	return decision.Position{
		Topic:     e.Manifest.Topics.Decisions[key[12]],
		Partition: int(binary.BigEndian.Uint32(key)), Offset: int64(binary.BigEndian.Uint64(key[4:])),
	}
}

// join puts the parts of each decision together, and sorts the decisions by their place in
// the batch.
func (e *Evidence) join(ctx context.Context, parts *spill.Sorter) error {
	sorted := parts.Sorted()
	var d joined
	for {
		part, err := sorted.Next()
		ended := err == io.EOF
		if err != nil && !ended {
			return err
		}
		if d.key != nil && (ended || !bytes.Equal(part[:placeSize], d.key)) {
			if err := e.addDecision(&d); err != nil {
				return err
			}
			d = joined{}
		}
		if ended {
			return nil
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if d.key == nil {
			d.key = bytes.Clone(part[:placeSize])
			d.Type, d.Origin = typeDecision, e.placeOf(part)
		}
		if err := d.add(part); err != nil {
			return err
		}
	}
}

// lineKeySize is the size of what a decision's line is sorted by: its line in the batch
// and its place.
const lineKeySize = 8 + placeSize

// addDecision sorts a decision by its place in the batch.
func (e *Evidence) addDecision(d *joined) error {
	// What only claims to be a copy makes no decision of the batch.
	direct := d.Record != nil || slices.ContainsFunc(d.Results, func(r Result) bool { return r.Of == d.Origin }) ||
		slices.ContainsFunc(d.DeadLetters, func(l DeadLetter) bool { return l.Of == d.Origin })
	if !direct {
		return nil
	}
	d.settle(e.Manifest.Members)
	e.decisions++
	if d.Outcome == unsettledName {
		e.Manifest.Unsettled++
	}
	if err := e.commands.addDecision(e, &d.Decision); err != nil {
		return err
	}
	text, err := json.Marshal(&d.Decision)
	if err != nil {
		return err
	}
	return e.lines.Add(binary.BigEndian.AppendUint64(nil, uint64(d.Line)), d.key, text)
}

// joined is a decision whose parts are being put together.
type joined struct {
	Decision
	key          []byte
	parts, bytes int
}

// add adds a part, in the order of the parts.
func (d *joined) add(part []byte) error {
	kind, rest := part[placeSize], part[2*placeSize+1:]
	line, text := int64(binary.BigEndian.Uint64(rest)), rest[8:]
	if d.Line == 0 || kind == partRecord {
		d.Line = line
	}
	d.parts++
	d.bytes += len(text)
	if kind != partRecord && (d.parts > maxParts || d.bytes > maxPartBytes) {
		d.Omitted++
		return nil
	}
	switch kind {
	case partRecord:
		return json.Unmarshal(text, &d.Record)
	case partResult:
		d.Results = append(d.Results, Result{})
		return json.Unmarshal(text, &d.Results[len(d.Results)-1])
	case partLetter:
		d.DeadLetters = append(d.DeadLetters, DeadLetter{})
		return json.Unmarshal(text, &d.DeadLetters[len(d.DeadLetters)-1])
	case partCopy:
		d.Redrives = append(d.Redrives, Redrive{})
		return json.Unmarshal(text, &d.Redrives[len(d.Redrives)-1])
	}
	return fmt.Errorf("a part has the unknown kind %d", kind)
}

// recordOf returns what evidence says of a record of a topic of decisions.
func recordOf(p *follow.Part) Record {
	d := p.Decided
	r := Record{At: decision.Time{Time: p.Record.Time}, Run: decision.RunOf(p.Record.Headers), ValueSHA256: sum(p.Record.Value), ID: d.ID}
	if p.Invalid != nil {
		r.Invalid = true
		return r
	}
	r.DecisionKey, r.ProfileID, r.TaskID, r.TaskAlias, r.TaskType = d.Identity().String(), d.Task.ProfileID, d.Task.TaskID, d.Key.Alias, d.Key.Type
	r.State, r.Source, r.Reason, r.DecidedAt = string(d.State), d.Source, d.Reason, d.DecidedAt
	return r
}

// maxTaskState bounds the state of a task in the API's answer, in bytes.
const maxTaskState = 100

// taskState returns the state in the API's answer, which is all that evidence says of it.
func taskState(task json.RawMessage) string {
	var t struct {
		State string `json:"state"`
	}
	if json.Unmarshal(task, &t) != nil {
		return ""
	}
	return decision.OneLine(t.State, maxTaskState)
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}
