package ledger

import (
	"net/url"
	"strconv"
	"strings"

	"verdict/internal/decision"
)

// Key names what a record of the control topic is about.
type Key struct {
	Kind Kind
	Name string // what its kind says
}

// Kind is the kind of a Key.
type Kind string

// The kinds.
const (
	KindBatch    Kind = "batch"    // the batch's ID
	KindRedrive  Kind = "redrive"  // dead letter topic's ID/partition/window
	KindHold     Kind = "hold"     // batch/ID, lane/LANE or task/PROFILE/TASK
	KindRate     Kind = "rate"     // no name
	KindInstance Kind = "instance" // the instance's ID
)

// maxKey bounds a key in bytes.
const maxKey = 1024

// BatchKey is the key of a batch.
func BatchKey(id string) Key { return Key{KindBatch, id} }

// RateKey is the key of the group's rate.
func RateKey() Key { return Key{Kind: KindRate} }

// InstanceKey is the key of an instance.
func InstanceKey(id string) Key { return Key{KindInstance, id} }

// WindowKey is the key of a window of a partition of the dead letter topic with this ID.
func WindowKey(topicID string, partition int, window int64) Key {
	return Key{KindRedrive, topicID + "/" + strconv.Itoa(partition) + "/" + strconv.FormatInt(window, 10)}
}

// HoldBatch is the key of the hold on a batch.
func HoldBatch(id string) Key { return Key{KindHold, "batch/" + id} }

// HoldLane is the key of the hold on a lane.
func HoldLane(lane decision.Lane) Key { return Key{KindHold, "lane/" + lane.String()} }

// HoldTask is the key of the hold on a task.
func HoldTask(t decision.Task) Key {
	return Key{KindHold, "task/" + strings.ToLower(t.ProfileID) + "/" + strings.ToLower(t.TaskID)}
}

// In returns the key as it is written in the control topic.
func (k Key) In(group string) string {
	s := groupPrefix(group) + string(k.Kind)
	if k.Name != "" {
		s += "/" + k.Name
	}
	return s
}

// ParseKey reads a key of the control topic; ok is false if it is not one of this group's.
func ParseKey(group, s string) (k Key, ok bool) {
	rest, ok := strings.CutPrefix(s, groupPrefix(group))
	if !ok || len(s) > maxKey {
		return Key{}, false
	}
	kind, name, named := strings.Cut(rest, "/")
	k = Key{Kind: Kind(kind), Name: name}
	switch k.Kind {
	case KindBatch, KindRedrive, KindHold, KindInstance:
		return k, name != ""
	case KindRate:
		return k, !named
	}
	return Key{}, false
}

// groupPrefix is what the keys of a group begin with; its only slash is the last character.
func groupPrefix(group string) string { return url.PathEscape(group) + "/" }
