package remembered

import (
	"net/url"
	"strconv"
	"strings"

	"verdict/internal/decision"
)

// Key names a Filter: the record's key in the topic of fingerprints.
type Key struct {
	Group string // consumer group
	Batch string
	N     int // of the batch's filters, from 0
}

// maxKey bounds a key in bytes.
const maxKey = 1024

// String returns GROUP/BATCH/N.
func (k Key) String() string {
	return url.PathEscape(k.Group) + "/" + k.Batch + "/" + strconv.Itoa(k.N)
}

// ParseKey reads what Key.String wrote; ok is false if it is none of that.
func ParseKey(s string) (k Key, ok bool) {
	group, rest, found := strings.Cut(s, "/")
	at := strings.LastIndexByte(rest, '/')
	if !found || group == "" || at <= 0 || len(s) > maxKey {
		return Key{}, false
	}
	n, err := strconv.ParseUint(rest[at+1:], 10, 31)
	name, err2 := url.PathUnescape(group)
	k = Key{Group: name, Batch: rest[:at], N: int(n)}
	return k, err == nil && err2 == nil && len(k.Batch) <= decision.MaxTextSize && k.String() == s
}
