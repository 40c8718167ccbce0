package submit

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"verdict/internal/bulk/atomicfile"
)

// ErrJournalBusy reports that another process holds the lock of the journal.
var ErrJournalBusy = errors.New("another submit is using it; wait until it has finished")

const (
	// maxJournal is the maximum size of the file, in bytes.
	maxJournal = 8 << 20
	// maxSentBatches is the number of completely sent batches to keep.
	maxSentBatches = 100
	// journalHead begins the first line; the SHA-256 of the rest of the file follows.
	journalHead = "verdict-journal 1 sha256 "
)

// journal records how far submits got with their batches, for the next submit. It is
// a small file, replaced atomically at each checkpoint and locked while a submit uses it.
type journal struct {
	path    string
	file    *os.File // holds the lock
	empty   bool     // nothing was saved yet
	entries []*journalEntry
}

// journalEntry is a batch in the journal.
type journalEntry struct {
	BatchID string    `json:"batch_id"`
	Cluster string    `json:"cluster"` // the ID that Kafka gave the cluster
	Topic   string    `json:"topic"`
	Files   []string  `json:"files"`
	Content string    `json:"content"` // Batch.Content
	Flags   string    `json:"choices"` // Batch.Flags, or noFlags
	Size    int64     `json:"size"`
	Began   time.Time `json:"began"`
	// Ended is when everything was acknowledged; zero: not yet.
	Ended time.Time `json:"ended,omitzero"`
	// Begin is where the batch begins in each partition, for its status.
	Begin map[int]int64 `json:"begin,omitempty"`

	// The progress of a batch that has not ended. Rows up to Done are acknowledged, or
	// are not to be sent. Rows after Done are at Offsets or beyond, if they are in the
	// topic.
	Done         int64         `json:"done"`
	Clean        bool          `json:"clean"`        // no row after Done is in the topic
	Acknowledged int64         `json:"acknowledged"` // decisions among the rows up to Done
	Offsets      map[int]int64 `json:"offsets,omitempty"`
}

func (b *journalEntry) ended() bool { return !b.Ended.IsZero() }

// openJournal opens and locks a journal, and creates it if there is none.
func openJournal(path string) (*journal, error) {
	j := &journal{path: path}
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, fmt.Errorf("open the journal: %w", err)
		}
		if err := lockFile(f); err != nil {
			f.Close()
			return nil, fmt.Errorf("journal %s: %w", path, err)
		}
		// Another submit may have replaced the file between open and lock, and ended. The
		// lock is then on a file without a name.
		now, err := os.Stat(path)
		if err == nil {
			own, err := f.Stat()
			if err != nil {
				f.Close()
				return nil, fmt.Errorf("open the journal: %w", err)
			}
			if os.SameFile(now, own) {
				j.file = f
				break
			}
		}
		f.Close()
	}
	if err := j.read(); err != nil {
		j.file.Close()
		return nil, fmt.Errorf("journal %s: %w; move it away to continue without it: Kafka also knows how far the batch got, for as long as it keeps the topic's records and the groups' offsets", path, err)
	}
	return j, nil
}

func (j *journal) read() error {
	text, err := io.ReadAll(io.LimitReader(j.file, maxJournal+1))
	if err != nil {
		return err
	}
	if len(text) == 0 {
		j.empty = true
		return nil
	}
	head, body, _ := bytes.Cut(text, []byte("\n"))
	sum, ok := strings.CutPrefix(string(head), journalHead)
	switch {
	case !ok:
		return errors.New("it is not a journal of this version of Verdict")
	case len(text) > maxJournal:
		return fmt.Errorf("it is larger than %d bytes", maxJournal)
	case sum != fmt.Sprintf("%x", sha256.Sum256(body)):
		return errors.New("it is damaged or was edited")
	}
	if err := json.Unmarshal(body, &j.entries); err != nil {
		return fmt.Errorf("parse it: %w", err)
	}
	return nil
}

// find returns the entry of a batch, or nil.
func (j *journal) find(cluster, topic, batchID string) *journalEntry {
	for _, b := range j.entries {
		if b.Cluster == cluster && b.Topic == topic && b.BatchID == batchID {
			return b
		}
	}
	return nil
}

// findContent returns the last entry with this content, under any batch ID, or nil.
func (j *journal) findContent(cluster, topic, content string) *journalEntry {
	for _, b := range slices.Backward(j.entries) {
		if b.Cluster == cluster && b.Topic == topic && b.Content == content {
			return b
		}
	}
	return nil
}

// add adds an entry.
func (j *journal) add(b *journalEntry) { j.entries = append(j.entries, b) }

// save replaces the journal. It locks the new file before it unlocks the old one.
func (j *journal) save() error {
	j.trim()
	body, err := json.MarshalIndent(j.entries, "", " ")
	if err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	body = append(body, '\n')
	var file *os.File
	err = atomicfile.Replace(j.path, func(f *os.File) error {
		if _, err := fmt.Fprintf(f, "%s%x\n%s", journalHead, sha256.Sum256(body), body); err != nil {
			return err
		}
		if file, err = os.OpenFile(f.Name(), os.O_RDWR, 0); err != nil {
			return err
		}
		return lockFile(file)
	})
	if err != nil {
		if file != nil {
			file.Close()
		}
		return fmt.Errorf("write the journal %s: %w", j.path, err)
	}
	j.file.Close()
	j.file, j.empty = file, false
	return nil
}

// trim removes the oldest ended batches beyond maxSentBatches.
func (j *journal) trim() {
	ended := 0
	for _, b := range j.entries {
		if b.ended() {
			b.Offsets, b.Begin = nil, nil
			ended++
		}
	}
	slices.SortStableFunc(j.entries, func(a, b *journalEntry) int { return a.Began.Compare(b.Began) })
	j.entries = slices.DeleteFunc(j.entries, func(b *journalEntry) bool {
		if b.ended() && ended > maxSentBatches {
			ended--
			return true
		}
		return false
	})
}

// close unlocks the journal, and removes it if nothing was saved.
func (j *journal) close() {
	if j.empty {
		_ = os.Remove(j.path)
	}
	j.file.Close()
}
