#!/usr/bin/env bash
# The processes of docker-compose.yml without Docker, but for Grafana: Apache Kafka
# from Maven (test/kafka), the sandbox, Verdict, and Debian's Prometheus with the
# same rules. Ctrl-C ends all of them.
#
#   stack.sh            stay up until Ctrl-C
#   stack.sh --once     start, see that everything works, end
#
# INSTANCES (1) says how many instances of Verdict there are.
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
		echo "stack.sh: there is no $tool; on Debian: apt-get install openjdk-17-jre-headless maven prometheus curl" >&2
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

# start NAME COMMAND…: in the background, with its output in a file.
start() {
	local name=$1
	shift
	# Not in this terminal's process group, so that Ctrl-C reaches this script alone
	# and it can end things in order.
	setsid "$@" >"$dir/$name.log" 2>&1 </dev/null &
	pids+=($!)
}

# answers URL: waits until it does.
answers() {
	local deadline=$((SECONDS + 60))
	until curl -fsS -o /dev/null --max-time 2 "$1" 2>/dev/null; do
		((SECONDS < deadline)) || { echo "stack.sh: $1 does not answer; $(tail -n 1 "$dir"/*.log)" >&2 && exit 1; }
		for p in "${pids[@]}"; do
			kill -0 "$p" 2>/dev/null || { echo "stack.sh: something has ended; its last words are below" >&2 && exit 1; }
		done
		sleep 0.3
	done
}

CGO_ENABLED=0 go build -trimpath -o "$dir/verdict" ./cmd/verdict
brokers=$(test/kafka/kafka.sh start --data "$dir/kafka")
"$dir/verdict" topics --kafka-brokers "$brokers" --partitions 12 --replication-factor 1 >&2

start sandbox "$dir/verdict" sandbox --latency 50ms --jitter 150ms --error-rate 0.01 --reject-rate 0.01
answers http://127.0.0.1:8081/_sandbox/stats
targets=""
for ((n = 0; n < instances; n++)); do
	admin=127.0.0.1:$((9464 + n))
	start "verdict-$n" env VERDICT_KAFKA_BROKERS="$brokers" VERDICT_API_KEY=sandbox \
		VERDICT_API_BASE_URL=http://127.0.0.1:8081/4.0 VERDICT_ADMIN_ADDR=$admin "$dir/verdict" run
	targets+="${targets:+, }\"$admin\""
done
for ((n = 0; n < instances; n++)); do answers "http://127.0.0.1:$((9464 + n))/readyz"; done

# As configs/prometheus/prometheus.yml, but for where things are.
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
answers http://127.0.0.1:9090/-/ready

cat <<-TEXT
	Kafka       $brokers
	API         http://127.0.0.1:8081/4.0 (key sandbox)
	Verdict     http://127.0.0.1:9464
	Prometheus  http://127.0.0.1:9090/alerts
	Logs        $dir/*.log
	Decisions   go run ./cmd/verdict submit --kafka-brokers $brokers --skip-invalid examples/decisions-10k.csv
	Ctrl-C ends it.
TEXT

if $once; then
	deadline=$((SECONDS + 60)) up=""
	until [[ $up == *"\"$instances\"]"* ]]; do
		((SECONDS < deadline)) || { echo "stack.sh: Prometheus does not see $instances ready: $up" >&2 && exit 1; }
		sleep 0.5
		up=$(curl -fsS 'http://127.0.0.1:9090/api/v1/query' --data-urlencode 'query=sum(verdict_ready{group="verdict"})')
	done
	echo "Prometheus sees $instances ready"
	exit 0
fi
wait -n "${pids[@]}" && status=0 || status=$?
echo "stack.sh: something has ended (status $status); its last words are below" >&2
exit 1
