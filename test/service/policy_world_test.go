package service_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/decision"
	"verdict/internal/passfort/sandbox"
	"verdict/internal/policy"
)

// decideGroupID is the group of a `decide` in a world.
const decideGroupID = "verdict" + app.DecideGroup

// inPolicyWorld is inWorld with the topics of `decide`.
func inPolicyWorld(t *testing.T, api sandbox.Options, test func(t *testing.T, w *world)) {
	t.Helper()
	inWorld(t, api, func(t *testing.T, w *world) {
		w.createTopic(w.cfg.Kafka.Topics.CheckResults, partitions, nil)
		w.createTopic(policy.StateTopic, partitions, map[string]string{"cleanup.policy": "compact"})
		test(t, w)
	})
}

// startDecide starts a `decide` by the default policy with the world's
// configuration, changed by change.
func (w *world) startDecide(change ...func(*configs.Config)) *member {
	w.t.Helper()
	return w.startDecideBy(policy.Default(), policy.StateTopic, change...)
}

// startDecideBy is startDecide with other policies and another state topic.
func (w *world) startDecideBy(policies policy.Set, stateTopic string, change ...func(*configs.Config)) *member {
	w.t.Helper()
	return w.startMember(func(ctx context.Context, cfg configs.Config, o app.Options) error {
		return app.Decide(ctx, cfg, policies, stateTopic, o)
	}, change...)
}

// checkResult returns the record of a check result.
func (w *world) checkResult(task decision.Task, id string, result decision.CheckResult) outgoing {
	return outgoing{topic: w.cfg.Kafka.Topics.CheckResults, key: task.ProfileID, value: fmt.Sprintf(
		`{"id":"delivery of %s","profile_id":%q,"task_id":%q,"check_id":%q,"decision":%q}`, id, task.ProfileID, task.TaskID, id, result)}
}

// sendChecks sends check results. Unlike decisions, they need no result or dead
// letter of `run`.
func (w *world) sendChecks(records ...outgoing) {
	w.t.Helper()
	w.send(records...)
	maps.DeleteFunc(w.submitted, func(at decision.Position, _ sent) bool { return at.Topic == w.cfg.Kafka.Topics.CheckResults })
}

// awaitDecided waits until the group has committed every check result.
func (w *world) awaitDecided(group string) {
	w.t.Helper()
	topic := w.cfg.Kafka.Topics.CheckResults
	w.await(time.Minute, "every check result is committed", func() bool {
		for p := range partitions {
			offset, metadata, ok := w.kafka.Committed(group, topic, p)
			if end := w.kafka.HighWatermark(topic, p); end > 0 && (!ok || offset != end || metadata != "") {
				return false
			}
		}
		return true
	})
}

// published is a decision as `decide` published it.
type published struct {
	ID     string         `json:"id"`
	TaskID string         `json:"task_id"`
	State  decision.State `json:"state"`
	Reason string         `json:"reason"`
}

// decisions returns every published decision, partition by partition.
func (w *world) decisions() []published {
	w.t.Helper()
	var all []published
	for _, rec := range w.read(w.cfg.Kafka.Topics.Decisions) {
		var d published
		if err := json.Unmarshal(rec.Value, &d); err != nil {
			w.t.Fatal(err)
		}
		if string(rec.Key) == "" {
			w.t.Errorf("a decision without a key: %s", rec.Value)
		}
		all = append(all, d)
	}
	return all
}

// wantDecisions checks that n decisions were published, and that those with
// different IDs are these, as "task state reason".
func (w *world) wantDecisions(n int, want ...string) {
	w.t.Helper()
	byID := make(map[string]string)
	all := w.decisions()
	for _, d := range all {
		byID[d.ID] = fmt.Sprintf("%s %s %s", d.TaskID, d.State, d.Reason)
	}
	got := slices.Sorted(maps.Values(byID))
	slices.Sort(want)
	if !slices.Equal(got, want) || len(all) != n {
		w.t.Errorf("%d decisions published: %q\nwant %d: %q", len(all), got, n, want)
	}
}
