package processor

import (
	"strings"
	"testing"
)

func TestNewRefusesOptionsThatCannotWork(t *testing.T) {
	onStage(t, func(s *stage) {
		if _, err := New(s.p.opts); err != nil {
			t.Errorf("the stage's own options: %v", err)
		}
		for name, change := range map[string]func(*Options){
			"API": func(o *Options) { o.API = nil }, "Publisher": func(o *Options) { o.Publisher = nil }, "Metrics": func(o *Options) { o.Metrics = nil },
			"Logger": func(o *Options) { o.Logger = nil }, "Decode": func(o *Options) { o.Decode = nil },
			"Results": func(o *Options) { o.Results = "" }, "DeadLetters": func(o *Options) { o.DeadLetters = "" },
			"RateLimit": func(o *Options) { o.RateLimit = -1 }, "Burst": func(o *Options) { o.Burst = 0 }, "Workers": func(o *Options) { o.Workers = 0 },
			"MaxAttempts": func(o *Options) { o.MaxAttempts = 0 }, "MaxPending": func(o *Options) { o.MaxPending = 0 }, "MaxBytes": func(o *Options) { o.MaxBytes = 0 },
			"Patience": func(o *Options) { o.Patience = -1 }, "Guard": func(o *Options) { o.Guard = -1 },
			"BackoffMin": func(o *Options) { o.BackoffMin = 0 }, "BackoffMax": func(o *Options) { o.BackoffMax = o.BackoffMin - 1 },
			"BackfillMinShare": func(o *Options) { o.BackfillMinShare = 1 }, "BackfillMinShare must be at least 0": func(o *Options) { o.BackfillMinShare = -0.1 },
			"Preflight": func(o *Options) { o.Preflight = "" }, "OnConflict": func(o *Options) { o.OnConflict = "" },
		} {
			o := s.p.opts
			change(&o)
			if _, err := New(o); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v, want an error that names it", name, err)
			}
		}
	})
}
