package redrive

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"verdict/internal/ledger"
)

// The first edition kept what went back in the committed offsets of consumer groups without
// members: a group for each window, and in the metadata of its commit for a partition this
// prefix and a bitmap like ledger.Window's, in base64.
//
//	verdict-redrive     offsets 0 to 23,999
//	verdict-redrive-1   offsets 24,000 to 47,999, and so on
const firstEditionPrefix = "redrive-1:"

// isKnown reports whether the ledger has taken over what was remembered elsewhere of the
// topic. Kafka drops the commits of a topic that is deleted, so that one that was made again
// inherits nothing.
func (r *Redriver) isKnown(state *ledger.State) bool {
	_, known := state.Get(r.key)
	return known
}

// remembered returns what is to be carried over into the ledger: the windows that the ledger
// has under the topic's name, from before the cluster had topic IDs, or else those of the
// first edition.
func (r *Redriver) remembered(ctx context.Context, state *ledger.State) (windows, error) {
	if _, named := state.Get(ownerKey(r.options.DeadLetters)); named {
		return windowsIn(state, r.options.DeadLetters), nil
	}
	return r.firstEdition(ctx)
}

// firstEdition reads the windows of the first edition for the offsets that the topic holds.
func (r *Redriver) firstEdition(ctx context.Context) (windows, error) {
	o := &r.options
	prefix := o.Ledger.Group + "-redrive"
	first, last := int64(1), int64(0) // none
	for _, b := range r.bounds {
		if b.First >= b.End {
			continue
		}
		from, to := b.First/ledger.WindowSize, (b.End-1)/ledger.WindowSize
		if first > last {
			first, last = from, to
		}
		first, last = min(first, from), max(last, to)
	}
	w := make(windows)
	for index := first; index <= last; index++ {
		group := prefix
		if index > 0 {
			group = fmt.Sprintf("%s-%d", prefix, index)
		}
		offsets, err := o.Ledger.Connection.GroupOffsets(ctx, group, o.DeadLetters)
		if err != nil {
			return nil, err
		}
		for partition, committed := range offsets {
			text, ok := strings.CutPrefix(committed.Metadata, firstEditionPrefix)
			bitmap, err := base64.StdEncoding.DecodeString(text)
			if !ok || err != nil || len(bitmap) > ledger.WindowSize/8 {
				return nil, fmt.Errorf("the committed offset of group %s for %s/%d was not written by a redrive; if another program uses that group, set kafka.group_id to another name",
					group, o.DeadLetters, partition)
			}
			of := new(window)
			copy(of[redriven][:], bitmap)
			w[windowKey{partition, index}] = of
		}
	}
	if err := w.checkEnds(o.DeadLetters, r.bounds); err != nil {
		return nil, fmt.Errorf("group %s: %w; if it was recreated, delete the groups %s*", prefix, err, prefix)
	}
	return w, nil
}
