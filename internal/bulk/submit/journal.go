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

// ErrJournalBusy says that another process has the journal.
var ErrJournalBusy = errors.New("another submit is at work with it")

const (
	// maxJournal bounds the file that is read, in bytes.
	maxJournal = 8 << 20
	// maxSentBatches is how many batches are remembered that were sent whole.
	maxSentBatches = 100
	// journalHead begins the file's first line; the SHA-256 of the rest follows.
	journalHead = "verdict-journal 1 sha256 "
)

// journal is what a submit knows of its batches beyond its own end: a small file,
// written anew as a whole at each checkpoint, so that it is never torn, and locked
// while a submit is at work with it.
type journal struct {
	path    string
	file    *os.File // whose lock is held
	empty   bool     // nothing was ever saved
	batches []*journalBatch
}

// journalBatch is a batch in the journal.
type journalBatch struct {
	BatchID string    `json:"batch_id"`
	Cluster string    `json:"cluster"` // Kafka's own ID of it
	Topic   string    `json:"topic"`
	Files   []string  `json:"files"`
	Content string    `json:"content"` // Batch.Content
	Choices string    `json:"choices"` // what else says which rows are sent, and how
	Size    int64     `json:"size"`
	Began   time.Time `json:"began"`
	// Ended is when all was acknowledged; zero: it is not.
	Ended time.Time `json:"ended,omitzero"`
	// Begin is where it begins in each partition, for the mark.
	Begin map[int]int64 `json:"begin,omitempty"`

	// Where a batch stands that has not ended: all rows up to Done are acknowledged
	// (or not sent, for their faults), Acknowledged decisions of them, and those
	// behind Done are at these offsets or later, if they are in the topic at all.
	Done         int64         `json:"done"`
	Clean        bool          `json:"clean"` // none behind Done is in the topic
	Acknowledged int64         `json:"acknowledged"`
	Offsets      map[int]int64 `json:"offsets,omitempty"`
}

func (b *journalBatch) ended() bool { return !b.Ended.IsZero() }

// openJournal opens and locks a journal, which need not exist yet.
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
		// Between open and lock another one may have replaced the file and gone:
		// then the lock is on a file that has no name any more.
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
		return nil, fmt.Errorf("journal %s: %w; move it away to go on without it: where the batch stands is in Kafka too, as far as the topic and the marks of batches go back", path, err)
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
		return errors.New("it is no journal of this version of Verdict")
	case len(text) > maxJournal:
		return fmt.Errorf("it has more than %d bytes", maxJournal)
	case sum != fmt.Sprintf("%x", sha256.Sum256(body)):
		return errors.New("it is damaged, or was edited")
	}
	if err := json.Unmarshal(body, &j.batches); err != nil {
		return fmt.Errorf("it can't be read: %w", err)
	}
	return nil
}

// find is the entry of a batch; nil: none.
func (j *journal) find(cluster, topic, batchID string) *journalBatch {
	for _, b := range j.batches {
		if b.Cluster == cluster && b.Topic == topic && b.BatchID == batchID {
			return b
		}
	}
	return nil
}

// alike gives the last batch of the same content, whatever its ID; nil: there is
// none.
func (j *journal) alike(cluster, topic, content string) *journalBatch {
	for _, b := range slices.Backward(j.batches) {
		if b.Cluster == cluster && b.Topic == topic && b.Content == content {
			return b
		}
	}
	return nil
}

// add adds a batch.
func (j *journal) add(b *journalBatch) { j.batches = append(j.batches, b) }

// save writes the journal, to the disk, under its name. The lock goes from the old
// file to the new one without a gap.
func (j *journal) save() error {
	j.trim()
	body, err := json.MarshalIndent(j.batches, "", " ")
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

// trim forgets the oldest of too many batches that have ended.
func (j *journal) trim() {
	ended := 0
	for _, b := range j.batches {
		if b.ended() {
			b.Offsets, b.Begin = nil, nil
			ended++
		}
	}
	slices.SortStableFunc(j.batches, func(a, b *journalBatch) int { return a.Began.Compare(b.Began) })
	j.batches = slices.DeleteFunc(j.batches, func(b *journalBatch) bool {
		if b.ended() && ended > maxSentBatches {
			ended--
			return true
		}
		return false
	})
}

// close lets the lock go, and leaves no empty file behind.
func (j *journal) close() {
	if j.empty {
		_ = os.Remove(j.path)
	}
	j.file.Close()
}
