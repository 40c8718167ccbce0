#!/usr/bin/env bash
# Makes the record sets of this folder: three producers send the same records, and
# what a real Kafka stores of them is kept. Needs a JDK, Maven and Python.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
kafka=../../../../test/kafka/kafka.sh
trap '$kafka stop --data "$work"; rm -rf "$work"' EXIT

brokers=$($kafka start --data "$work")
$kafka stop --data "$work"
sed -i 's/^auto.create.topics.enable=.*/auto.create.topics.enable=true/; s/^num.partitions=.*/num.partitions=1/' "$work/node-1/server.properties"
$kafka start-node 1 --data "$work"

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q confluent-kafka==2.16.1
java -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$(<"$work/classpath")" Send.java "$brokers"
"$work/venv/bin/python" send.py "$brokers"
go run send.go "$brokers"

$kafka stop --data "$work" # so that everything is on the disk
rm -f ./*.log
for topic in "$work"/node-1/log/{java,librdkafka,franz-go}-*-0; do
	name=$(basename "$topic")
	cp "$topic/00000000000000000000.log" "${name%-0}.log"
done
