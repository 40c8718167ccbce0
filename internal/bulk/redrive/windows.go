package redrive

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"verdict/internal/broker"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

// mark is what became of a dead letter.
type mark int

const (
	redriven mark = iota
	dismissed
	marks
)

// windowKey identifies a window of a partition.
type windowKey struct {
	partition int
	index     int64 // the window begins at offset index*ledger.WindowSize
}

func windowOf(letter decision.Position) windowKey {
	return windowKey{letter.Partition, letter.Offset / ledger.WindowSize}
}

// window has a bitmap for each mark, as in ledger.Window.
type window [marks][ledger.WindowSize / 8]byte

// windows are the marks of the letters of one topic, by window. They belong to one
// goroutine.
type windows map[windowKey]*window

// windowsIn returns what the ledger says about the letters of a topic.
func windowsIn(state *ledger.State, topicID string) windows {
	w := make(windows)
	for key, e := range state.Of(ledger.KindRedrive) {
		place, ok := strings.CutPrefix(key.Name, topicID+"/")
		partition, index, _ := strings.Cut(place, "/")
		p, err := strconv.ParseUint(partition, 10, 31)
		i, err2 := strconv.ParseUint(index, 10, 48)
		if !ok || err != nil || err2 != nil {
			continue // another topic's, or who owns one
		}
		of := new(window)
		copy(of[redriven][:], e.Window.Redriven)
		copy(of[dismissed][:], e.Window.Dismissed)
		w[windowKey{int(p), int64(i)}] = of
	}
	return w
}

func (w windows) has(m mark, letter decision.Position) bool {
	of := w[windowOf(letter)]
	i := letter.Offset % ledger.WindowSize
	return of != nil && of[m][i/8]&(1<<(i%8)) != 0
}

// set marks a letter, or removes its mark.
func (w windows) set(m mark, letter decision.Position, on bool) {
	at := windowOf(letter)
	if w[at] == nil {
		w[at] = new(window)
	}
	i := letter.Offset % ledger.WindowSize
	if on {
		w[at][m][i/8] |= 1 << (i % 8)
	} else {
		w[at][m][i/8] &^= 1 << (i % 8)
	}
}

// entry returns a window as it is written in the ledger.
func (w windows) entry(topicID string, at windowKey) store.KeyedEntry {
	of := w[at]
	trimmed := func(m mark) []byte { return slices.Clone(bytes.TrimRight(of[m][:], "\x00")) }
	return store.KeyedEntry{
		Key:   ledger.WindowKey(topicID, at.partition, at.index),
		Entry: ledger.Entry{Window: &ledger.Window{Redriven: trimmed(redriven), Dismissed: trimmed(dismissed)}},
	}
}

// entries returns all windows as they are written in the ledger.
func (w windows) entries(topicID string) []store.KeyedEntry {
	var all []store.KeyedEntry
	for at := range maps.Keys(w) {
		all = append(all, w.entry(topicID, at))
	}
	return all
}

// checkEnds returns an error if a letter is marked that the topic does not have yet.
func (w windows) checkEnds(topic string, bounds map[int]broker.Bound) error {
	for at, of := range w {
		end := max(len(bytes.TrimRight(of[redriven][:], "\x00")), len(bytes.TrimRight(of[dismissed][:], "\x00"))) // in bytes
		if end > 0 && at.index*ledger.WindowSize+int64(end-1)*8 >= bounds[at.partition].End {
			return fmt.Errorf("the ledger has dead letters of %s/%d beyond its end at %d, so the topic lost records; "+
				"create another one, name it in kafka.topics.dead_letters, and redrive from there", topic, at.partition, bounds[at.partition].End)
		}
	}
	return nil
}
