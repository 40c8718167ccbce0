package redrive_test

import (
	"strings"
	"testing"
	"time"

	"verdict/internal/bulk/bulktest"
	"verdict/internal/bulk/redrive"
	"verdict/internal/decision"
)

func TestFilterChoosesDeadLetters(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		fail(b, bulktest.BackfillTopic, 1, 10, decision.Rejected)
		time.Sleep(time.Hour)
		cut := time.Now()
		fail(b, bulktest.LiveTopic, 101, 10, decision.Rejected)
		b.Put(bulktest.Named(bulktest.LiveTopic, "spring", 500))
		for _, rec := range b.All(bulktest.LiveTopic) {
			if strings.Contains(string(rec.Value), "spring") {
				b.Settle(rec, "", decision.Expired)
			}
		}
		profile := string(bulktest.Decision("", 7).Key)
		for name, test := range map[string]struct {
			filter redrive.Filter
			want   int64
		}{
			"all":            {redrive.Filter{}, 21},
			"since":          {redrive.Filter{Since: cut}, 11},
			"until":          {redrive.Filter{Until: cut}, 10},
			"between":        {redrive.Filter{Since: cut.Add(-2 * time.Hour), Until: cut}, 10},
			"profile":        {redrive.Filter{Profile: strings.ToUpper(profile)}, 1},
			"batch":          {redrive.Filter{BatchID: "b"}, 20},
			"batch in value": {redrive.Filter{BatchID: "spring"}, 1},
			"error":          {redrive.Filter{Match: "THAT IS"}, 21},
			"value":          {redrive.Filter{Match: `"d-101"`}, 1},
			"none":           {redrive.Filter{BatchID: "b", Reasons: []decision.Reason{decision.Expired}}, 0},
		} {
			o := options(b)
			o.Filter = test.filter
			r := begin(b, o)
			if survey, err := r.Scan(b.Context()); err != nil || survey.Chosen != test.want {
				b.Errorf("%s: %d chosen, %v, want %d", name, survey.Chosen, err, test.want)
			}
		}
	})
}
