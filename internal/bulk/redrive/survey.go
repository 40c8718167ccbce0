package redrive

import (
	"context"
	"regexp"

	"verdict/internal/decision"
)

// Survey counts what a redrive would do.
type Survey struct {
	Read      int64 // dead letters in the topic
	Chosen    int64 // the filter chooses them, and they can be handled
	Already   int64 // the filter chooses them, and they went back before
	Dismissed int64 // the filter chooses them, and they were dismissed before
	Refused   map[Refusal]int64
	ByReason  map[decision.Reason]int64 // of Chosen
	ByError   map[string]int64          // of Chosen: by error, with # for numbers and IDs
	Examples  map[string]string         // for each key of ByError, one of its errors
	ByTopic   map[string]int64          // of Chosen: by the topic they came from
}

// maxErrors is the maximum number of different errors in a Survey.
const maxErrors = 1000

// OtherErrors is the key in Survey.ByError for all errors beyond maxErrors.
const OtherErrors = "(other errors)"

// Scan reads the dead letters and counts what Run would handle. It writes nothing.
func (r *Redriver) Scan(ctx context.Context) (Survey, error) {
	s := Survey{
		Refused: make(map[Refusal]int64), ByReason: make(map[decision.Reason]int64), ByTopic: make(map[string]int64),
		ByError: make(map[string]int64), Examples: make(map[string]string),
	}
	err := r.readLetters(ctx, func(rec *decision.Record) error {
		s.Read++
		if s.Read%1000 == 0 {
			r.options.Progress(s.Read, 0)
		}
		c, chosen := r.choose(rec)
		switch {
		case !chosen:
		case c.stands == wentBack:
			s.Already++
		case c.stands == dealt:
			s.Dismissed++
		case c.refused != nil:
			s.Refused[c.refused.Why]++
			r.options.Refused(*c.refused)
		default:
			s.Chosen++
			s.ByReason[c.letter.Reason]++
			s.ByTopic[c.letter.Original.Topic]++
			s.countError(c.letter.Error)
		}
		return nil
	})
	r.chosen = s.Chosen
	return s, err
}

// countError counts the error of a dead letter. The example of a kind of error is the
// first of its errors in alphabetical order, so that it does not depend on chance.
func (s *Survey) countError(text string) {
	kind := errorKind(text)
	if _, known := s.ByError[kind]; !known && len(s.ByError) >= maxErrors {
		kind = OtherErrors
	}
	if example, ok := s.Examples[kind]; kind != OtherErrors && (!ok || text < example) {
		s.Examples[kind] = text
	}
	s.ByError[kind]++
}

// varying matches what differs between two errors of one kind: IDs and numbers.
var varying = regexp.MustCompile(`[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\d+`)

// errorKind returns an error with # for what varies.
func errorKind(text string) string {
	return decision.OneLine(varying.ReplaceAllString(text, "#"), 200)
}
