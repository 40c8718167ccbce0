package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"verdict/internal/broker"
	"verdict/internal/bulk/topicread"
	"verdict/internal/decision"
	"verdict/internal/ledger"
)

// AuditFilter says which acts are wanted: those that fit all of it. The zero filter fits
// every act.
type AuditFilter struct {
	Since, Until   time.Time // zero: no bound
	Actor, Command string    // exactly
	Key            string    // a part of the act's key or target, ignoring case
	Match          string    // a part of the reason or of the details, ignoring case
}

// Acts calls each for the acts of a group in the order in which they were done. Records of
// the audit topic that are none are counted in skipped.
func Acts(ctx context.Context, o Options, f AuditFilter, each func(key ledger.Key, act ledger.Act) error) (skipped int64, err error) {
	if _, err := topicread.Bounds(ctx, o.Ledger.Connection, o.Ledger.Audit); err != nil {
		if errors.Is(err, broker.ErrNoTopic) {
			return 0, fmt.Errorf("the audit topic %s (kafka.topics.audit) does not exist, so nothing was ever recorded; verdict topics creates it", o.Ledger.Audit)
		}
		return 0, err
	}
	scan := broker.ScanOptions{Topic: o.Ledger.Audit, Retrying: o.Retrying}
	if !f.Since.IsZero() {
		scan.Since = f.Since.Add(-topicread.ClockSkew)
	}
	err = o.Ledger.Connection.Scan(ctx, scan, func(rec decision.Record) error {
		act, err := ledger.DecodeAct(rec.Value)
		if err != nil {
			skipped++
			return nil
		}
		key, ok := ledger.ParseKey(o.Ledger.Group, act.Key)
		if !ok || !f.fits(key, &act) {
			return nil // another group's
		}
		return each(key, act)
	})
	return skipped, err
}

func (f *AuditFilter) fits(key ledger.Key, a *ledger.Act) bool {
	switch {
	case !f.Since.IsZero() && a.At.Before(f.Since), !f.Until.IsZero() && !a.At.Before(f.Until),
		f.Actor != "" && a.Actor != f.Actor, f.Command != "" && a.Command != f.Command:
		return false
	}
	return contains(namesOf(key), f.Key) && contains(a.Why+"\n"+Details(a.Details), f.Match)
}

// namesOf names what an act was about, both as a key and in words.
func namesOf(key ledger.Key) string {
	return string(key.Kind) + "/" + key.Name + "\n" + Describe(key)
}

func contains(text, part string) bool {
	return strings.Contains(strings.ToLower(text), strings.ToLower(part))
}

// Details returns the details of an act in one line, in a stable order: what was before
// and after comes first.
func Details(details map[string]string) string {
	order := map[string]int{"before": -2, "after": -1}
	var parts []string
	for _, name := range slices.SortedFunc(maps.Keys(details), func(a, b string) int {
		return cmp.Or(order[a]-order[b], strings.Compare(a, b))
	}) {
		if name != "target" {
			parts = append(parts, fmt.Sprintf("%s: %s", decision.OneLine(name, 100), decision.OneLine(details[name], decision.MaxTextSize)))
		}
	}
	return strings.Join(parts, "; ")
}
