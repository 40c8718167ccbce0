package consumer_test

import (
	"strings"
	"testing"
	"time"

	"verdict/consumer"
)

func TestNewRefusesOptionsThatCannotWork(t *testing.T) {
	inWorld(t, 0, func(t *testing.T, w *world) {
		m := w.newMember("m")
		for name, change := range map[string]func(*consumer.Options){
			"Brokers":                   func(o *consumer.Options) { o.Brokers = nil },
			"Dialer":                    func(o *consumer.Options) { o.Dialer = nil },
			"Client":                    func(o *consumer.Options) { o.Client = nil },
			"Metrics":                   func(o *consumer.Options) { o.Metrics = nil },
			"Logger":                    func(o *consumer.Options) { o.Logger = nil },
			"GroupID":                   func(o *consumer.Options) { o.GroupID = "" },
			"Topics":                    func(o *consumer.Options) { o.Topics = nil },
			"MaxUncommitted":            func(o *consumer.Options) { o.MaxUncommitted = 0 },
			"MaxUncommitted is 1048577": func(o *consumer.Options) { o.MaxUncommitted = 1<<20 + 1 },
			"CommitInterval":            func(o *consumer.Options) { o.CommitInterval = 0 },
			"DrainTimeout":              func(o *consumer.Options) { o.DrainTimeout = 0 },
			"SessionTimeout":            func(o *consumer.Options) { o.SessionTimeout = o.DrainTimeout },
			"RebalanceTimeout":          func(o *consumer.Options) { o.RebalanceTimeout = o.DrainTimeout - time.Second },
		} {
			o := m.options(w.conn)
			change(&o)
			if _, err := consumer.New(o, m); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v, want an error that names it", name, err)
			}
		}
		for _, span := range []int{m.options(w.conn).MaxUncommitted, 1, 1 << 20} {
			o := m.options(w.conn)
			o.MaxUncommitted = span
			if _, err := consumer.New(o, m); err != nil {
				t.Errorf("the defaults of the configuration, and a span of %d: %v", span, err)
			}
		}
	})
}
