package decision

import (
	"cmp"
	"hash/crc32"
	"time"
)

// Fingerprint tells a decision from others that were read at the same place before its
// topic was deleted and made again. It is kept for each decision of a batch, so it has
// four bytes: of a decision, a bit that marks one, 15 bits of its decision_key and 16 of
// its ID; of a record that could not be read as a decision, its time in Unix seconds.
// Zero: nothing is known, and every end fits.
type Fingerprint uint32

const (
	ofDecision = 1 << 31
	ofID       = 1<<16 - 1
)

// Ended names the decision that a result or dead letter ended.
type Ended struct {
	Key, ID string    // empty: not known
	At      time.Time // of the end or of the record that ended; zero: not known
}

// Ended names the decision of a result.
func (r *Result) Ended() Ended {
	return Ended{Key: r.DecisionKey, ID: r.DecisionID, At: r.CompletedAt.Time}
}

// Ended names the decision of a dead letter. d and err are what Decode makes of Original:
// the service may have been unable to read what is readable now.
func (d *DeadRecord) Ended(of *Decision, err error) Ended {
	e := Ended{Key: d.DecisionKey, ID: cmp.Or(d.DecisionID, of.ID), At: d.Original.Time}
	if e.Key == "" && err == nil {
		e.Key = of.Identity().String()
	}
	return e
}

// Fingerprint returns the fingerprint of a decision that is known only by its end.
func (e Ended) Fingerprint() Fingerprint {
	if e.Key == "" {
		return 0
	}
	return ofDecision | checksum(e.Key)&^ofID | checksum(e.ID)&ofID
}

// FingerprintOf returns the fingerprint of a record. d and err are what Decode makes of
// it.
func FingerprintOf(rec *Record, d *Decision, err error) Fingerprint {
	if err != nil {
		return Fingerprint(min(max(rec.Time.Unix(), 0), ofDecision-1))
	}
	return Ended{Key: d.Identity().String(), ID: d.ID}.Fingerprint()
}

// Fits reports whether e may be the end of the record: the keys agree, or without a key,
// which the first edition did not write, the IDs. A record that could not be read can
// only have ended since its time.
func (f Fingerprint) Fits(e Ended) bool {
	switch {
	case f&ofDecision == 0:
		return e.At.IsZero() || e.At.Unix() >= int64(f)
	case e.Key != "":
		return f == e.Fingerprint()
	}
	return f&ofID == checksum(e.ID)&ofID
}

func checksum(s string) Fingerprint { return Fingerprint(crc32.ChecksumIEEE([]byte(s))) }
