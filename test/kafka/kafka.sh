#!/usr/bin/env bash
# Runs a real Apache Kafka for the integration tests, without Docker: KRaft nodes that are
# both broker and controller, from Maven's repository, on Java 17 or later.
#
#   kafka.sh start [--nodes 1|3] [--data DIR]   format and start; prints the brokers as host:port,host:port
#     --version V     run this version, from 3.9 on (default: $KAFKA_VERSION, or else pom.xml's)
#     --secure DIR    add listeners with TLS and SASL, and require rights (see secure)
#   kafka.sh stop [--data DIR]                  stop every node cleanly
#   kafka.sh status [--data DIR]                print which nodes run; fails unless all do
#   kafka.sh kill-node N [--data DIR]           kill a node, as a crash does
#   kafka.sh start-node N [--data DIR]          start it again with its data
#
# Nodes listen on free ports of 127.0.0.1 only. Results go to standard output, everything
# else to standard error.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
start_seconds=90 # until all nodes must answer
stop_seconds=40  # until a node that does not stop is killed

usage() {
	sed -n '2,15s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
	exit 2
}

die() {
	echo "kafka.sh: $*" >&2
	exit 1
}

# resolve writes the class path of the version, unless that is done already.
resolve() {
	local resolved=$here/target/classpath-$version
	if [[ ! $resolved -nt $here/pom.xml ]]; then
		echo "kafka.sh: resolving the class path of Kafka $version with Maven" >&2
		mkdir -p "$here/target"
		mvn -B -q -f "$here/pom.xml" -Dkafka.version="$version" dependency:build-classpath -Dmdep.outputFile="$resolved.new" >&2 ||
			die "Maven cannot resolve the class path"
		mv "$resolved.new" "$resolved"
	fi
	cp "$resolved" "$classpath_file"
}

# run_java HEAP CLASS… runs a class of Kafka with a maximum heap.
run_java() {
	local heap=$1
	shift
	# The fast compiler and the serial collector suit short-lived nodes that share the
	# processors with the tests.
	exec "$java" -Xms64m -Xmx"$heap" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
		-Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
		-Dorg.slf4j.simpleLogger.log.kafka.server=info \
		-Dorg.slf4j.simpleLogger.showDateTime=true \
		-cp "$(<"$classpath_file")" "$@"
}

# free_port sets free_port to a port that is not in use and that it has not returned
# before.
taken=" "
free_port() {
	local port
	while :; do
		port=$((20000 + RANDOM % 12000)) # below the ephemeral ports
		[[ $taken == *" $port "* ]] && continue
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue
		taken+="$port "
		free_port=$port
		return
	done
}

# configure writes and formats the configuration of each node.
configure() {
	local nodes=$1 n voters="" replicas=1 in_sync=1
	local -a broker_port controller_port
	if ((nodes == 3)); then replicas=3 in_sync=2; fi
	for ((n = 1; n <= nodes; n++)); do
		free_port && broker_port[n]=$free_port
		free_port && controller_port[n]=$free_port
		voters+=${voters:+,}$n@127.0.0.1:$free_port
	done
	for ((n = 1; n <= nodes; n++)); do
		mkdir -p "$data/node-$n"
		cat >"$data/node-$n/server.properties" <<-PROPERTIES
			node.id=$n
			process.roles=broker,controller
			controller.quorum.voters=$voters
			controller.listener.names=CONTROLLER
			listeners=PLAINTEXT://127.0.0.1:${broker_port[n]},CONTROLLER://127.0.0.1:${controller_port[n]}
			advertised.listeners=PLAINTEXT://127.0.0.1:${broker_port[n]}
			listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
			log.dirs=$data/node-$n/log
			num.partitions=4
			default.replication.factor=$replicas
			min.insync.replicas=$in_sync
			offsets.topic.replication.factor=$replicas
			offsets.topic.num.partitions=4
			transaction.state.log.replication.factor=$replicas
			transaction.state.log.min.isr=$in_sync
			share.coordinator.state.topic.replication.factor=$replicas
			share.coordinator.state.topic.min.isr=$in_sync
			group.initial.rebalance.delay.ms=0
			group.min.session.timeout.ms=500
			auto.create.topics.enable=false
			log.retention.check.interval.ms=500
			log.cleaner.dedupe.buffer.size=2097152
		PROPERTIES
		if [[ -n $secure ]]; then secure "$n"; fi
		echo "127.0.0.1:${broker_port[n]}" >"$data/node-$n/address"
		(run_java 128m kafka.tools.StorageTool format --cluster-id VerdictTestKafkaAAAAAA \
			--config "$data/node-$n/server.properties") >"$data/node-$n/format.out" 2>&1 ||
			die "cannot format node $n: $(tail -n 3 "$data/node-$n/format.out")"
	done
}

# secure N adds listeners with TLS and SASL to a node's configuration and requires rights
# of everyone except clients of the plain listener and the certificate CN=verdict. DIR
# contains server.pem (private key and certificate) and ca.pem (CA of the clients'
# certificates). The addresses are in node-N/listeners: SSL requires a client certificate,
# the SASL_ listeners a login.
secure() {
	local n=$1 listeners="" name
	for name in SSL SASL_SSL SASL_PLAINTEXT; do
		free_port
		listeners+=,$name://127.0.0.1:$free_port
		echo "$name 127.0.0.1:$free_port" >>"$data/node-$n/listeners"
	done
	sed -i -e "/^\(advertised\.\)\?listeners=/s#\$#$listeners#" \
		-e '/^listener.security.protocol.map=/s/$/,SSL:SSL,SASL_SSL:SASL_SSL,SASL_PLAINTEXT:SASL_PLAINTEXT/' "$data/node-$n/server.properties"
	cat >>"$data/node-$n/server.properties" <<-PROPERTIES
		ssl.keystore.type=PEM
		ssl.keystore.location=$secure/server.pem
		ssl.truststore.type=PEM
		ssl.truststore.location=$secure/ca.pem
		listener.name.ssl.ssl.client.auth=required
		sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
		authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
		super.users=User:ANONYMOUS;User:CN=verdict;User:admin
	PROPERTIES
	for name in sasl_ssl sasl_plaintext; do
		cat >>"$data/node-$n/server.properties" <<-PROPERTIES
			listener.name.$name.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_admin="plain-secret" user_verdict="plain-secret";
			listener.name.$name.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
			listener.name.$name.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
		PROPERTIES
	done
}

# pid N prints the process ID of a running node. It ignores a process that only reuses the
# ID.
pid() {
	local file=$data/node-$1/pid p
	[[ -f $file ]] && p=$(<"$file") && [[ -n $p ]] || return 1
	[[ -r /proc/$p/cmdline && $(tr '\0' ' ' <"/proc/$p/cmdline") == *"kafka.Kafka $data/node-$1/"* ]] || return 1
	echo "$p"
}

# nodes prints the number of each node.
nodes() {
	local dir
	for dir in "$data"/node-*/; do
		[[ -d $dir ]] && basename "$dir" | sed 's/^node-//'
	done
}

# launch N starts a node in the background.
launch() {
	local n=$1
	[[ -f $data/node-$n/server.properties ]] || die "no node $n in $data"
	pid "$n" >/dev/null && die "node $n is already running"
	[[ -f $data/node-$n/kafka.out ]] && mv "$data/node-$n/kafka.out" "$data/node-$n/kafka.out.before"
	# In a session of its own, so that Ctrl-C in the tests does not reach the nodes.
	export -f run_java
	export java classpath_file
	setsid bash -c 'echo $$ >"$1/pid"; run_java 384m kafka.Kafka "$1/server.properties"' - "$data/node-$n" \
		>"$data/node-$n/kafka.out" 2>&1 </dev/null &
}

# await N… waits until nodes have logged that they are started.
await() {
	local n deadline=$((SECONDS + start_seconds))
	for n in "$@"; do
		until grep -q 'Kafka Server started' "$data/node-$n/kafka.out" 2>/dev/null; do
			((SECONDS < deadline)) || die "node $n does not answer after ${start_seconds}s, see $data/node-$n/kafka.out"
			if [[ -s $data/node-$n/pid ]] && ! pid "$n" >/dev/null; then
				sleep 0.3 # the shell may not have become java yet
				pid "$n" >/dev/null || die "node $n has ended: $(tail -n 5 "$data/node-$n/kafka.out")"
			fi
			sleep 0.2
		done
	done
}

# stop_all stops every node, and kills those that take too long.
stop_all() {
	local n p deadline=$((SECONDS + stop_seconds))
	for n in $(nodes); do
		if p=$(pid "$n"); then kill "$p"; fi
	done
	for n in $(nodes); do
		while p=$(pid "$n"); do
			# The last of three controllers has nobody to hand over to and would wait
			# for minutes.
			if ((SECONDS >= deadline)); then kill -KILL "$p" 2>/dev/null || true; fi
			sleep 0.2
		done
		rm -f "$data/node-$n/pid"
	done
}

# addresses prints the brokers, separated by commas.
addresses() {
	cat "$data"/node-*/address | paste -sd, -
}

(($# > 0)) || usage
command=$1 nodes=1 data=$here/data node="" secure=""
version=${KAFKA_VERSION:-$(sed -n 's/.*<kafka.version>\(.*\)<.*/\1/p' "$here/pom.xml")}
shift
case $command in
kill-node | start-node)
	(($# > 0)) || usage
	node=$1
	[[ $node =~ ^[1-9]$ ]] || die "node $node: want a number from 1"
	shift
	;;
esac
while (($# > 0)); do
	case $1 in
	--nodes) nodes=${2-} && shift 2 || usage ;;
	--data) data=${2-} && shift 2 || usage ;;
	--version) version=${2-} && shift 2 || usage ;;
	--secure) secure=${2-} && shift 2 || usage ;;
	*) usage ;;
	esac
done
[[ $nodes == 1 || $nodes == 3 ]] || die "--nodes $nodes: want 1 or 3"
[[ -n $data && -n $version ]] || usage
[[ -z $secure ]] || secure=$(cd "$secure" && pwd)
mkdir -p "$data"
data=$(cd "$data" && pwd)
classpath_file=$data/classpath

case $command in
start)
	resolve
	stop_all
	rm -rf "$data"/node-*
	configure "$nodes"
	for ((n = 1; n <= nodes; n++)); do launch "$n"; done
	await $(nodes)
	addresses
	;;
stop)
	stop_all
	;;
status)
	status=0
	[[ -n $(nodes) ]] || die "no nodes in $data"
	for n in $(nodes); do
		if p=$(pid "$n"); then
			echo "node $n $(<"$data/node-$n/address") is running (process $p)"
		else
			echo "node $n $(<"$data/node-$n/address") is down"
			status=1
		fi
	done
	exit $status
	;;
kill-node)
	p=$(pid "$node") || die "node $node is not running"
	kill -KILL "$p"
	while pid "$node" >/dev/null; do sleep 0.1; done
	;;
start-node)
	launch "$node"
	await "$node"
	;;
*) usage ;;
esac
