package grafana

import (
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

type panels = []cog.Builder[dashboard.Panel]

// rows is the dashboard from top to bottom: first whether somebody has to do
// something, then where the time goes.
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

// lag is the lag by lane; a topic's lane is what each instance says of itself.
func lag(lane string) string {
	return `sum by (lane) (verdict_consumer_lag{SEL} * on (job, group, instance, topic) group_left (lane) verdict_topic_info{SEL` + lane + `})`
}

// timeToDrain is the lag over the rate at which decisions settle: +Inf where none
// does, 0 where there is no lag.
func timeToDrain(lane string) string {
	return `(` + lag(lane) + `
  / sum by (lane) (rate(verdict_decisions_total{SEL` + lane + `}[$__rate_interval])))
  and ` + lag(lane) + ` > 0
or ` + lag(lane) + ` == 0`
}

// oldest is since when the oldest decision waits, 0 where none does.
func oldest(lane string) string {
	return `time() - min by (lane) (verdict_oldest_unsettled_timestamp_seconds{SEL` + lane + `} > 0)
or max by (lane) (verdict_oldest_unsettled_timestamp_seconds{SEL` + lane + `} * 0)`
}

// The lanes that timeToDrain, lag and oldest can be asked for.
const (
	everyLane = ""
	liveLane  = `,lane="live"`
)

// quantiles are the usual three of a histogram, of the series that are left by
// the labels in by ("": none).
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
		number1(about{title: "Instances ready", width: 4, alert: "VerdictNoInstanceUp",
			description: "Instances that take work (/readyz), and those that run. Not ready: not yet in the group, or the API key is refused."},
			units.Short, thresholds("red", step{1, "green"}),
			query{`sum(verdict_ready{SEL})`, "ready"},
			query{`count(verdict_ready{SEL})`, "of"}),
		number1(about{title: "Calls", width: 4, alert: "VerdictPausedForAuth",
			description: "Whether any instance holds its calls back, for whatever cause. Nothing is lost meanwhile; it goes on by itself when the cause is gone."},
			units.Short, thresholds("green", step{1, "red"}),
			query{`max(verdict_paused{SEL})`, "paused"}).
			Mappings(words("running", "green", "paused", "red")),
		number1(about{title: "Breaker", width: 4, alert: "VerdictPausedForOutage",
			description: "Open while half of the last calls to the API failed: then one probe every few seconds, until one succeeds."},
			units.Short, thresholds("green", step{1, "red"}),
			query{`max(verdict_paused{SEL,cause="outage"})`, "breaker"}).
			Mappings(words("closed", "green", "open", "red")),
		number1(about{title: "Oldest unsettled, live", width: 4, alert: "VerdictBacklogOverTarget",
			description: "Since when the oldest live decision that an instance holds waits, by its record's timestamp."},
			units.Seconds, thresholds("green", step{300, "orange"}, step{900, "red"}),
			query{oldest(liveLane), "{{lane}}"}),
		number1(about{title: "Time to drain, live", width: 4, alert: "VerdictBacklogOverTarget",
			description: "How long the live lane's lag would take at the present rate if nothing came in."},
			units.Seconds, thresholds("green", step{60, "orange"}, step{300, "red"}),
			query{timeToDrain(liveLane), "{{lane}}"}),
		number1(about{title: "Alerts firing", width: 4,
			description: "Of configs/prometheus/rules/alerts.yml, for any group."},
			units.Short, thresholds("green", step{1, "red"}),
			query{`count(ALERTS{alertname=~"Verdict.+",alertstate="firing"}) or vector(0)`, "firing"}),
		timeline(about{title: "Paused, by cause", width: 24, alert: "VerdictPausedForKafka",
			description: "auth: the API key is refused. outage: the API fails (the breaker is open). throttled: the API answered 429 and said how long to wait. kafka: what was done could not be published or committed."},
			words("running", "green", "paused", "red"),
			query{`max by (cause) (verdict_paused{SEL})`, "{{cause}}"}),
	}
}

func flow() panels {
	return panels{
		stacked(graph(about{title: "Decisions settled", width: 12,
			description: "By lane and by how they were settled. A dead letter is settled too."},
			units.OpsPerSecond,
			query{`sum by (lane, outcome) (rate(verdict_decisions_total{SEL}[$__rate_interval]))`, "{{lane}} {{outcome}}"})),
		graph(about{title: "Record to settled", width: 12,
			description: "From the timestamp of a decision's record until its result or dead letter is acknowledged, by lane. For a backfill this is mostly the time it waited its turn."},
			units.Seconds,
			quantiles("verdict_decision_duration_seconds", "", ", lane", " {{lane}}")...),
		graph(about{title: "Lag", width: 6, alert: "VerdictLagGrowing",
			description: "Records from the committed offset to the end of the owned partitions."},
			units.Short,
			query{lag(everyLane), "{{lane}}"}),
		limited(graph(about{title: "Time to drain", width: 6, alert: "VerdictBacklogOverTarget",
			description: "Lag over the rate at which decisions settle. The line is the live lane's target."},
			units.Seconds,
			query{timeToDrain(everyLane), "{{lane}}"}), 300),
		limited(graph(about{title: "Oldest unsettled", width: 6, alert: "VerdictBacklogOverTarget",
			description: "Since when the oldest decision that is held waits. Hours are usual in a backfill; the line is the live lane's target."},
			units.Seconds,
			query{oldest(everyLane), "{{lane}}"}), 900),
		graph(about{title: "Held and in flight", width: 6,
			description: "Decisions fetched and not yet settled (bounded by processor.max_pending a lane), and calls under way (bounded by processor.workers)."},
			units.Short,
			query{`sum by (lane) (verdict_pending{SEL})`, "held {{lane}}"},
			query{`sum(verdict_in_flight{SEL})`, "calls in flight"}),
	}
}

func api() panels {
	return panels{
		graph(about{title: "Calls and their limit", width: 12, alert: "VerdictRateLimitSaturated",
			description: "Calls of every kind against what the instances may make now: the configured rate, less after a 429, until it has healed."},
			units.RequestsPerSecond,
			query{`sum by (operation) (rate(verdict_api_requests_total{SEL}[$__rate_interval]))`, "{{operation}}"},
			query{`sum(verdict_rate_limit{SEL} < Inf)`, "allowed"}),
		heat(about{title: "Time of a completing call", width: 12,
			description: "From sending the call to its last byte or its failure."},
			query{`sum by (le) (increase(verdict_api_request_duration_seconds_bucket{SEL,operation="complete"}[$__rate_interval]))`, "{{le}}"}),
		stacked(graph(about{title: "Answers, by status", width: 8,
			description: "timeout: no answer came in time. error: there was none for another cause."},
			units.RequestsPerSecond,
			query{`sum by (code) (rate(verdict_api_requests_total{SEL}[$__rate_interval]))`, "{{code}}"})),
		limited(graph(about{title: "429s", width: 8, alert: "VerdictThrottled",
			description: "Share of the calls that were answered 429. Each holds all calls for as long as the API says, and halves the rate, which heals within a minute."},
			units.PercentUnit,
			query{`sum(rate(verdict_api_requests_total{SEL,code="429"}[$__rate_interval])) / sum(rate(verdict_api_requests_total{SEL}[$__rate_interval]))`, "429"}), 0.01),
		stacked(graph(about{title: "Retries, by cause", width: 8,
			description: "Calls put off to be made again. A 429 or a refused key is nobody's attempt."},
			units.OpsPerSecond,
			query{`sum by (cause) (rate(verdict_retries_total{SEL}[$__rate_interval]))`, "{{cause}}"})),
		graph(about{title: "Time of a call, by operation", width: 12,
			description: "95th percentile."},
			units.Seconds,
			query{`histogram_quantile(0.95, sum by (le, operation) (rate(verdict_api_request_duration_seconds_bucket{SEL}[$__rate_interval])))`, "{{operation}}"}),
		graph(about{title: "Wait for the rate limit", width: 12,
			description: "How long work that was ready waited for its token. With a backlog this is the time between two calls; what grows here is not the API's slowness."},
			units.Seconds,
			quantiles("verdict_rate_limit_wait_seconds", "", "", "")...),
	}
}

func deadLetters() panels {
	return panels{
		stacked(graph(about{title: "Dead letters, by reason", width: 12, alert: "VerdictDeadLetterShareHigh",
			description: "A refused key, an outage, 429s and an absent Kafka make none: they pause."},
			units.OpsPerSecond,
			query{`sum by (reason) (rate(verdict_dead_letters_total{SEL}[$__rate_interval]))`, "{{reason}}"})),
		limited(graph(about{title: "Share of the decisions", width: 8, alert: "VerdictDeadLetterShareHigh",
			description: "Of the decisions settled, those that a reason dead-lettered, in each lane. The line is the alert's."},
			units.PercentUnit,
			query{`sum by (lane, reason) (rate(verdict_dead_letters_total{SEL}[$__rate_interval])) / on (lane) group_left () (sum by (lane) (rate(verdict_decisions_total{SEL}[$__rate_interval])) > 0)`, "{{lane}} {{reason}}"}), 0.05),
		number1(about{title: "In the time shown", width: 4,
			description: "Dead letters in the range of the dashboard."},
			units.Short, thresholds("green", step{1, "orange"}),
			query{`sum(increase(verdict_dead_letters_total{SEL}[$__range]))`, "dead letters"}).Decimals(0),
	}
}

func kafka() panels {
	return panels{
		stacked(graph(about{title: "Partitions, by instance", width: 8,
			description: "Of all topics of decisions. With rate_limit_scope: group an instance's share of them is its share of the rate."},
			units.Short,
			query{`sum by (instance) (verdict_partitions_assigned{SEL})`, "{{instance}}"})),
		graph(about{title: "Generations", width: 8, alert: "VerdictRebalancingTooOften",
			description: "Generations of the group that the instances joined. Each begins with a drain of the one before."},
			units.Short,
			query{`sum by (instance) (increase(verdict_rebalances_total{SEL}[$__rate_interval]))`, "{{instance}}"}),
		graph(about{title: "Commits", width: 8, alert: "VerdictNoCommits",
			description: "Offsets are committed for all partitions of an instance at once, at the latest kafka.commit_interval after something settled."},
			units.OpsPerSecond,
			query{`sum by (outcome) (rate(verdict_commits_total{SEL}[$__rate_interval]))`, "{{outcome}}"}),
		graph(about{title: "Publishing", width: 12, alert: "VerdictPausedForKafka",
			description: "From handing a result or a dead letter to the publisher until all in-sync replicas have it: 95th percentile."},
			units.Seconds,
			query{`histogram_quantile(0.95, sum by (le, topic) (rate(verdict_publish_duration_seconds_bucket{SEL}[$__rate_interval])))`, "{{topic}}"}),
		graph(about{title: "Partitions with the most lag", width: 12, alert: "VerdictLagGrowing",
			description: "One that is far above the others has a key that too many decisions share."},
			units.Short,
			query{`topk(10, sum by (topic, partition) (verdict_consumer_lag{SEL}))`, "{{topic}}/{{partition}}"}),
	}
}

func process() panels {
	return panels{
		graph(about{title: "Processors used", width: 8,
			description: "1 is one core in full."},
			units.Short,
			query{`rate(process_cpu_seconds_total{SEL}[$__rate_interval])`, "{{instance}}"}),
		graph(about{title: "Memory", width: 8,
			description: "What the process has resident, and what of it is the heap in use. It does not follow the backlog: what is held is bounded by processor.max_pending_bytes."},
			units.BytesIEC,
			query{`process_resident_memory_bytes{SEL}`, "resident {{instance}}"},
			query{`go_memstats_heap_inuse_bytes{SEL}`, "heap {{instance}}"}),
		graph(about{title: "Goroutines and open files", width: 8,
			description: "Both level off once every worker has its connection."},
			units.Short,
			query{`go_goroutines{SEL}`, "goroutines {{instance}}"},
			query{`process_open_fds{SEL}`, "open files {{instance}}"}),
		graph(about{title: "Build", width: 12,
			description: "Instances by version, so that a roll-out shows."},
			units.Short,
			query{`count by (version, revision, goversion) (verdict_build_info{SEL})`, "{{version}} {{revision}} {{goversion}}"}),
		graph(about{title: "Up since", width: 12,
			description: "A fall to 0 is a restart."},
			units.Seconds,
			query{`time() - process_start_time_seconds{SEL}`, "{{instance}}"}),
	}
}
