package redrive

import (
	"context"
	"regexp"

	"verdict/internal/decision"
)

// Survey is what a redrive finds before it begins.
type Survey struct {
	Read     int64 // dead letters that are there
	Chosen   int64 // that the filter chooses and that can go back
	Already  int64 // that the filter chooses and that went back before
	Refused  map[Refusal]int64
	ByReason map[decision.Reason]int64 // of Chosen
	ByError  map[string]int64          // of Chosen: their errors, with numbers and IDs as #
	Examples map[string]string         // by the keys of ByError: the first, as texts go, of the errors it stands for
	ByTopic  map[string]int64          // of Chosen: where they go
}

// maxErrors is how many different errors a Survey tells apart.
const maxErrors = 1000

// OtherErrors is what a Survey calls the errors that it does not tell apart.
const OtherErrors = "(other errors)"

// Survey looks through the dead letters, sends nothing and commits nothing.
func (r *Redriver) Scan(ctx context.Context) (Survey, error) {
	s := Survey{Refused: make(map[Refusal]int64), ByReason: make(map[decision.Reason]int64), ByError: make(map[string]int64), Examples: make(map[string]string), ByTopic: make(map[string]int64)}
	err := r.readLetters(ctx, func(rec *decision.Record) error {
		s.Read++
		if s.Read%1000 == 0 {
			r.o.Progress(s.Read, 0)
		}
		d, back, refused, chosen := r.choose(rec)
		switch {
		case !chosen:
		case r.set.has(rec.Partition, rec.Offset):
			s.Already++
		case refused != nil:
			s.Refused[refused.Why]++
			r.o.Refused(*refused)
		default:
			s.Chosen++
			s.ByReason[d.Reason]++
			s.ByTopic[back.Topic]++
			text := errorKind(d.Error)
			if _, known := s.ByError[text]; !known && len(s.ByError) >= maxErrors {
				text = OtherErrors
			}
			if known, ok := s.Examples[text]; text != OtherErrors && (!ok || d.Error < known) {
				s.Examples[text] = d.Error
			}
			s.ByError[text]++
		}
		return nil
	})
	return s, err
}

// varying is what makes two errors of one kind differ: IDs and numbers.
var varying = regexp.MustCompile(`[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\d+`)

// errorKind is an error with what varies as #.
func errorKind(text string) string {
	return decision.OneLine(varying.ReplaceAllString(text, "#"), 200)
}
