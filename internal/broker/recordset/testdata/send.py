"""Sends with librdkafka."""
import sys
from confluent_kafka import Producer


def producer(**config):
    config = {name.replace("_", "."): value for name, value in config.items()}
    return Producer({"bootstrap.servers": sys.argv[1], "linger.ms": 100, **config})


def send(p, topic, headers):
    for key, value in ("a", "one " * 50), (None, "two " * 50), ("c", None):
        p.produce(topic, value, key, headers=[("h", b"v"), ("none", None)] if headers else None)
    assert p.flush(30) == 0


for codec in "none", "gzip", "snappy", "lz4", "zstd":
    p = producer(compression_type=codec, enable_idempotence=True)
    for headers in False, True:
        send(p, "librdkafka-" + codec, headers)
p = producer()
for headers in False, True:
    send(p, "librdkafka-plain", headers)
p = producer(transactional_id="librdkafka")
p.init_transactions(30)
p.begin_transaction()
send(p, "librdkafka-transactions", False)
p.commit_transaction(30)
p.begin_transaction()
send(p, "librdkafka-transactions", True)
p.abort_transaction(30)
