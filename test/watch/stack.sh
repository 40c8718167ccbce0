#!/usr/bin/env bash
# Runs the services of docker-compose.yml without Docker and without Grafana: Apache
# Kafka from Maven (test/kafka), the sandbox, Verdict, and Debian's Prometheus with the
# same rules. Ctrl-C stops all of them.
#
#   stack.sh            run until Ctrl-C
#   stack.sh --once     start, check that everything works, stop
#
# INSTANCES (default 1) sets the number of Verdict instances.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

once=false
case ${1-} in
"") ;;
--once) once=true ;;
*) sed -n '2,11s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac
instances=${INSTANCES:-1}
[[ $instances =~ ^[1-9]$ ]] || { echo "stack.sh: INSTANCES=$instances: want 1 to 9" >&2 && exit 2; }

for tool in java mvn prometheus curl; do
	command -v "$tool" >/dev/null || {
		echo "stack.sh: $tool is missing; on Debian: apt-get install openjdk-17-jre-headless maven prometheus curl" >&2
		exit 1
	}
done

dir=$(mktemp -d)
pids=()
finish() {
	local status=$?
	trap '' INT TERM
	echo "stopping" >&2
	((${#pids[@]} == 0)) || kill "${pids[@]}" 2>/dev/null || true
	wait
	test/kafka/kafka.sh stop --data "$dir/kafka" || true
	if ((status)) && [[ -d $dir ]]; then tail -n 5 "$dir"/*.log >&2 || true; fi
	rm -rf "$dir"
	exit "$status"
}
trap finish EXIT
trap 'exit 0' INT TERM

# start NAME COMMAND… runs a command in the background, with its output in a file.
start() {
	local name=$1
	shift
	# In a session of its own, so that Ctrl-C reaches only this script, which stops
	# everything in order.
	setsid "$@" >"$dir/$name.log" 2>&1 </dev/null &
	pids+=($!)
}

# await_url URL waits until the URL answers.
await_url() {
	local deadline=$((SECONDS + 60))
	until curl -fsS -o /dev/null --max-time 2 "$1" 2>/dev/null; do
		((SECONDS < deadline)) || { echo "stack.sh: $1 does not answer; $(tail -n 1 "$dir"/*.log)" >&2 && exit 1; }
		for p in "${pids[@]}"; do
			kill -0 "$p" 2>/dev/null || { echo "stack.sh: a process has ended; see the end of its log below" >&2 && exit 1; }
		done
		sleep 0.3
	done
}

CGO_ENABLED=0 go build -trimpath -o "$dir/verdict" ./cmd/verdict
brokers=$(test/kafka/kafka.sh start --data "$dir/kafka")
"$dir/verdict" topics --kafka-brokers "$brokers" --partitions 12 --replication-factor 1 >&2

start sandbox "$dir/verdict" sandbox --latency 50ms --jitter 150ms --error-rate 0.01 --reject-rate 0.01
await_url http://127.0.0.1:8081/_sandbox/stats
targets=""
for ((n = 0; n < instances; n++)); do
	admin=127.0.0.1:$((9464 + n))
	start "verdict-$n" env VERDICT_KAFKA_BROKERS="$brokers" VERDICT_API_KEY=sandbox \
		VERDICT_API_BASE_URL=http://127.0.0.1:8081/4.0 VERDICT_ADMIN_ADDR=$admin "$dir/verdict" run
	targets+="${targets:+, }\"$admin\""
done
for ((n = 0; n < instances; n++)); do await_url "http://127.0.0.1:$((9464 + n))/readyz"; done

# Like configs/prometheus/prometheus.yml, with other addresses.
cat >"$dir/prometheus.yml" <<-YAML
	global: {scrape_interval: 5s, evaluation_interval: 5s}
	rule_files: ["$PWD/configs/prometheus/rules/*.yml"]
	scrape_configs:
	  - job_name: verdict
	    static_configs:
	      - targets: [$targets]
	        labels: {group: verdict}
YAML
start prometheus prometheus --config.file="$dir/prometheus.yml" --storage.tsdb.path="$dir/prometheus" \
	--web.listen-address=127.0.0.1:9090 --log.level=warn
await_url http://127.0.0.1:9090/-/ready

cat <<-TEXT
	Kafka       $brokers
	API         http://127.0.0.1:8081/4.0 (key sandbox)
	Verdict     http://127.0.0.1:9464
	Prometheus  http://127.0.0.1:9090/alerts
	Logs        $dir/*.log
	Decisions   go run ./cmd/verdict submit --kafka-brokers $brokers --skip-invalid examples/decisions-10k.csv
	Ctrl-C stops everything.
TEXT

if $once; then
	deadline=$((SECONDS + 60)) up=""
	until [[ $up == *"\"$instances\"]"* ]]; do
		((SECONDS < deadline)) || { echo "stack.sh: Prometheus does not see $instances ready instances: $up" >&2 && exit 1; }
		sleep 0.5
		up=$(curl -fsS 'http://127.0.0.1:9090/api/v1/query' --data-urlencode 'query=sum(verdict_ready{group="verdict"})')
	done
	echo "Prometheus sees $instances ready instances"
	exit 0
fi
wait -n "${pids[@]}" && status=0 || status=$?
echo "stack.sh: a process has ended (status $status); see the end of its log below" >&2
exit 1
