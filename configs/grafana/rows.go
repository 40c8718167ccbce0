package grafana

import (
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

type panels = []cog.Builder[dashboard.Panel]

// rows returns the dashboard from top to bottom: first whether someone has to act, then
// where the time goes.
func rows() []row {
	return []row{
		{"Is it well?", isItWell()},
		{"Flow", flow()},
		{"API", api()},
		{"Dead letters", deadLetters()},
		{"Kafka", kafka()},
		{"Process", process()},
	}
}

// backlog returns the records that are not settled, by lane.
func backlog(lane string) string {
	return `sum by (lane) (verdict_backlog{SEL` + lane + `})`
}

// timeToDrain returns the backlog divided by the rate at which decisions settle: +Inf if
// none settle, 0 without a backlog.
func timeToDrain(lane string) string {
	return `(` + backlog(lane) + `
  / sum by (lane) (rate(verdict_decisions_total{SEL` + lane + `}[$__rate_interval])))
  and ` + backlog(lane) + ` > 0
or ` + backlog(lane) + ` == 0`
}

// oldest returns how long the oldest decision has waited, 0 if none waits.
func oldest(lane string) string {
	return `time() - min by (lane) (verdict_oldest_unsettled_timestamp_seconds{SEL` + lane + `} > 0)
or max by (lane) (verdict_oldest_unsettled_timestamp_seconds{SEL` + lane + `} * 0)`
}

// Arguments of backlog, timeToDrain and oldest.
const (
	everyLane = ""
	liveLane  = `,lane="live"`
)

// quantiles returns p50, p95 and p99 of a histogram, grouped by the labels in by, such as
// ", lane".
func quantiles(metric, matchers, by, legend string) []query {
	var all []query
	for _, q := range []struct{ name, value string }{{"p50", "0.5"}, {"p95", "0.95"}, {"p99", "0.99"}} {
		all = append(all, query{
			fmt.Sprintf("histogram_quantile(%s, sum by (le%s) (rate(%s_bucket{SEL%s}[$__rate_interval])))", q.value, by, metric, matchers),
			q.name + legend,
		})
	}
	return all
}

func isItWell() panels {
	return panels{
		bigNumber(header{title: "Instances ready", width: 4, alert: "VerdictNoInstanceUp",
			description: "Instances that take work (/readyz), of all that are running. An instance is not ready before it has joined the group, while the API refuses its key, or once Kafka has failed for more than a minute."},
			units.Short, thresholds("red", step{1, "green"}),
			query{`sum(verdict_ready{SEL})`, "ready"},
			query{`count(verdict_ready{SEL})`, "of"}),
		bigNumber(header{title: "Calls", width: 4, alert: "VerdictPausedForAuth",
			description: "Whether any instance has paused its API calls, for any cause. No decision is lost, and calls resume by themselves when the cause is gone."},
			units.Short, thresholds("green", step{1, "red"}),
			query{`max(verdict_paused{SEL})`, "paused"}).
			Mappings(words("running", "green", "paused", "red")),
		bigNumber(header{title: "API", width: 4, alert: "VerdictPausedForOutage",
			description: "Away if calls fail and whoami does too, or if most first calls for a decision fail. Verdict then sends only probes, until one succeeds."},
			units.Short, thresholds("green", step{1, "red"}),
			query{`max(verdict_paused{SEL,cause="outage"})`, "API"}).
			Mappings(words("works", "green", "away", "red")),
		bigNumber(header{title: "Oldest unsettled, live", width: 4, alert: "VerdictBacklogOverTarget",
			description: "Age of the oldest live decision that an instance holds, by the timestamp of its record."},
			units.Seconds, thresholds("green", step{300, "orange"}, step{900, "red"}),
			query{oldest(liveLane), "{{lane}}"}),
		bigNumber(header{title: "Time to drain, live", width: 4, alert: "VerdictBacklogOverTarget",
			description: "How long the backlog of the live lane would take to drain at the current rate if nothing new came in."},
			units.Seconds, thresholds("green", step{60, "orange"}, step{300, "red"}),
			query{timeToDrain(liveLane), "{{lane}}"}),
		bigNumber(header{title: "Alerts firing", width: 4,
			description: "Alerts of configs/prometheus/rules/alerts.yml that are firing, for all groups."},
			units.Short, thresholds("green", step{1, "red"}),
			query{`count(ALERTS{alertname=~"Verdict.+",alertstate="firing"}) or vector(0)`, "firing"}),
		timeline(header{title: "Paused, by cause", width: 24, alert: "VerdictPausedForKafka",
			description: "auth: the API refuses the key. outage: the API fails, and only probes go. throttled: the API answered 429 and said how long to wait. kafka: results could not be published, or offsets not committed."},
			words("running", "green", "paused", "red"),
			query{`max by (cause) (verdict_paused{SEL})`, "{{cause}}"}),
	}
}

func flow() panels {
	return panels{
		stacked(graph(header{title: "Decisions settled", width: 12,
			description: "By lane and outcome. Dead letters count as settled."},
			units.OpsPerSecond,
			query{`sum by (lane, outcome) (rate(verdict_decisions_total{SEL}[$__rate_interval]))`, "{{lane}} {{outcome}}"})),
		graph(header{title: "Record to settled", width: 12,
			description: "From the timestamp of a decision's record until Kafka acknowledges its result or dead letter, by lane. In a backfill most of this is waiting time."},
			units.Seconds,
			quantiles("verdict_decision_duration_seconds", "", ", lane", " {{lane}}")...),
		graph(header{title: "Backlog", width: 6, alert: "VerdictLagGrowing",
			description: "Records that are not settled, fetched or not."},
			units.Short,
			query{backlog(everyLane), "{{lane}}"}),
		limited(graph(header{title: "Time to drain", width: 6, alert: "VerdictBacklogOverTarget",
			description: "Backlog divided by the rate at which decisions settle. The dashed line is the target of the live lane."},
			units.Seconds,
			query{timeToDrain(everyLane), "{{lane}}"}), 300),
		limited(graph(header{title: "Oldest unsettled", width: 6, alert: "VerdictBacklogOverTarget",
			description: "Age of the oldest decision that an instance holds. Hours are normal in a backfill. The dashed line is the target of the live lane."},
			units.Seconds,
			query{oldest(everyLane), "{{lane}}"}), 900),
		graph(header{title: "Held and in flight", width: 6,
			description: "Decisions fetched and not yet settled (at most processor.max_pending per lane), and API calls in flight (at most processor.workers)."},
			units.Short,
			query{`sum by (lane) (verdict_pending{SEL})`, "held {{lane}}"},
			query{`sum(verdict_in_flight{SEL})`, "calls in flight"}),
	}
}

func api() panels {
	return panels{
		graph(header{title: "Calls and their limit", width: 12, alert: "VerdictRateLimitSaturated",
			description: "All API calls, and the rate that the instances may use now: the configured rate, or less for a while after a 429."},
			units.RequestsPerSecond,
			query{`sum by (operation) (rate(verdict_api_requests_total{SEL}[$__rate_interval]))`, "{{operation}}"},
			query{`sum(verdict_rate_limit{SEL} < Inf)`, "allowed"}),
		heat(header{title: "Time of a completing call", width: 12,
			description: "From sending the request to the last byte of the answer or the failure."},
			query{`sum by (le) (increase(verdict_api_request_duration_seconds_bucket{SEL,operation="complete"}[$__rate_interval]))`, "{{le}}"}),
		stacked(graph(header{title: "Answers, by status", width: 8,
			description: "timeout: no answer came in time. error: no answer came for another reason."},
			units.RequestsPerSecond,
			query{`sum by (code) (rate(verdict_api_requests_total{SEL}[$__rate_interval]))`, "{{code}}"})),
		limited(graph(header{title: "429s", width: 8, alert: "VerdictThrottled",
			description: "Share of API calls that were answered 429. Each 429 pauses all calls for as long as the API says and halves the rate, which recovers within a minute."},
			units.PercentUnit,
			query{`sum(rate(verdict_api_requests_total{SEL,code="429"}[$__rate_interval])) / sum(rate(verdict_api_requests_total{SEL}[$__rate_interval]))`, "429"}), 0.01),
		stacked(graph(header{title: "Retries, by cause", width: 8,
			description: "Calls that will be repeated. A 429 or a refused key does not count as an attempt."},
			units.OpsPerSecond,
			query{`sum by (cause) (rate(verdict_retries_total{SEL}[$__rate_interval]))`, "{{cause}}"})),
		graph(header{title: "Time of a call, by operation", width: 12,
			description: "95th percentile."},
			units.Seconds,
			query{`histogram_quantile(0.95, sum by (le, operation) (rate(verdict_api_request_duration_seconds_bucket{SEL}[$__rate_interval])))`, "{{operation}}"}),
		graph(header{title: "Wait for the rate limit", width: 12,
			description: "How long ready work waited for the rate limit. With a backlog this is the time between two calls. A slow API does not show here."},
			units.Seconds,
			quantiles("verdict_rate_limit_wait_seconds", "", "", "")...),
	}
}

func deadLetters() panels {
	return panels{
		stacked(graph(header{title: "Dead letters, by reason", width: 12, alert: "VerdictDeadLetterShareHigh",
			description: "A refused key, an outage, 429s and an unreachable Kafka cause pauses, not dead letters."},
			units.OpsPerSecond,
			query{`sum by (reason) (rate(verdict_dead_letters_total{SEL}[$__rate_interval]))`, "{{reason}}"})),
		limited(graph(header{title: "Share of the decisions", width: 8, alert: "VerdictDeadLetterShareHigh",
			description: "Share of the settled decisions that were dead-lettered, by lane and reason. The dashed line is the threshold of the alert."},
			units.PercentUnit,
			query{`sum by (lane, reason) (rate(verdict_dead_letters_total{SEL}[$__rate_interval])) / on (lane) group_left () (sum by (lane) (rate(verdict_decisions_total{SEL}[$__rate_interval])) > 0)`, "{{lane}} {{reason}}"}), 0.05),
		bigNumber(header{title: "In the time shown", width: 4,
			description: "Dead letters in the time range of the dashboard."},
			units.Short, thresholds("green", step{1, "orange"}),
			query{`sum(increase(verdict_dead_letters_total{SEL}[$__range]))`, "dead letters"}).Decimals(0),
	}
}

func kafka() panels {
	return panels{
		stacked(graph(header{title: "Partitions, by instance", width: 8,
			description: "Partitions of all decision topics. With rate_limit_scope: group, the share of the partitions that an instance owns is its share of the rate."},
			units.Short,
			query{`sum by (instance) (verdict_partitions_assigned{SEL})`, "{{instance}}"})),
		graph(header{title: "Generations", width: 8, alert: "VerdictRebalancingTooOften",
			description: "Generations of the consumer group that the instances joined. Each begins after the previous one has drained."},
			units.Short,
			query{`sum by (instance) (increase(verdict_rebalances_total{SEL}[$__rate_interval]))`, "{{instance}}"}),
		graph(header{title: "Commits", width: 8, alert: "VerdictNoCommits",
			description: "An instance commits the offsets of all its partitions together, within kafka.commit_interval after a decision settles."},
			units.OpsPerSecond,
			query{`sum by (outcome) (rate(verdict_commits_total{SEL}[$__rate_interval]))`, "{{outcome}}"}),
		graph(header{title: "Publishing", width: 12, alert: "VerdictPausedForKafka",
			description: "Time from handing a result or dead letter to the publisher until all in-sync replicas have it: 95th percentile."},
			units.Seconds,
			query{`histogram_quantile(0.95, sum by (le, topic) (rate(verdict_publish_duration_seconds_bucket{SEL}[$__rate_interval])))`, "{{topic}}"}),
		graph(header{title: "Partitions with the most lag", width: 12, alert: "VerdictLagGrowing",
			description: "If a partition is far above the others, too many decisions share a key."},
			units.Short,
			query{`topk(10, sum by (topic, partition) (verdict_consumer_lag{SEL}))`, "{{topic}}/{{partition}}"}),
	}
}

func process() panels {
	return panels{
		graph(header{title: "Processors used", width: 8,
			description: "1 means one full core."},
			units.Short,
			query{`rate(process_cpu_seconds_total{SEL}[$__rate_interval])`, "{{instance}}"}),
		graph(header{title: "Memory", width: 8,
			description: "Resident memory, and the part of it that the heap uses. It does not grow with the backlog: processor.max_pending_bytes limits it."},
			units.BytesIEC,
			query{`process_resident_memory_bytes{SEL}`, "resident {{instance}}"},
			query{`go_memstats_heap_inuse_bytes{SEL}`, "heap {{instance}}"}),
		graph(header{title: "Goroutines and open files", width: 8,
			description: "Both level off once every worker has a connection."},
			units.Short,
			query{`go_goroutines{SEL}`, "goroutines {{instance}}"},
			query{`process_open_fds{SEL}`, "open files {{instance}}"}),
		graph(header{title: "Build", width: 12,
			description: "Instances by version, which shows the progress of a rollout."},
			units.Short,
			query{`count by (version, revision, goversion) (verdict_build_info{SEL})`, "{{version}} {{revision}} {{goversion}}"}),
		graph(header{title: "Up since", width: 12,
			description: "A drop to 0 is a restart."},
			units.Seconds,
			query{`time() - process_start_time_seconds{SEL}`, "{{instance}}"}),
	}
}
