"""Produces decisions to Kafka with the serializers of Confluent's Python client.

    produce.py BROKERS TOPIC REGISTRY

Reads decisions from standard input, one JSON object a line: "as" names what serializes
it (see serializers), and the other members are the decision. Writes the offset of each
to standard output, in order, as {"partition": 0, "offset": 0}.
"""

import json
import sys
import uuid

from confluent_kafka import Producer
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient, header_schema_id_serializer
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.confluent import meta_pb2  # noqa: F401: registers the options
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, timestamp_pb2  # noqa: F401
from google.type import money_pb2  # noqa: F401: registers the type

STATES = ["COMPLETED_PASS", "COMPLETED_FAIL"]
DRAFT = "http://json-schema.org/draft-07/schema#"


def avro(client, topic, *more_fields, **conf):
    state = Schema(json.dumps({"type": "enum", "name": "State", "namespace": "com.example", "symbols": STATES}), "AVRO")
    client.register_schema(topic + "-avro-state", state)
    record = {
        "type": "record", "name": "Decision", "namespace": "com.example",
        "fields": [
            {"name": "profile_id", "type": {"type": "string", "logicalType": "uuid"}},
            {"name": "task_id", "type": "string"},
            {"name": "state", "type": "State"},
            *more_fields,
        ],
    }
    schema = Schema(json.dumps(record), "AVRO", [SchemaReference("com.example.State", topic + "-avro-state", 1)])
    return AvroSerializer(client, schema, conf=conf | {"subject.name.strategy": lambda *_: topic + "-avro"})


def json_schema(client, topic):
    client.register_schema(topic + "-json-state", Schema(json.dumps({"$schema": DRAFT, "$id": "state.json", "enum": STATES}), "JSON"))
    schema = Schema(json.dumps({
        "$schema": DRAFT, "title": "Decision", "type": "object", "required": ["profile_id", "task_id", "state"],
        "properties": {"profile_id": {"type": "string"}, "task_id": {"type": "string"}, "state": {"$ref": "state.json"}},
    }), "JSON", [SchemaReference("state.json", topic + "-json-state", 1)])
    return JSONSerializer(schema, client, conf={"subject.name.strategy": lambda *_: topic + "-json"})


# The message is nested, and is not the first one. One import has a subject, and three are
# known to the serializer, which registers no reference for them.
FILES = [
    """name: "shared/state.proto" package: "com.example.shared" syntax: "proto3"
    enum_type {
      name: "State"
      value { name: "UNDECIDED" number: 0 }
      value { name: "COMPLETED_PASS" number: 1 }
      value { name: "COMPLETED_FAIL" number: 2 }
    }""",
    """name: "decision.proto" package: "com.example" syntax: "proto3"
    dependency: ["shared/state.proto", "google/protobuf/timestamp.proto", "google/type/money.proto", "confluent/meta.proto"]
    message_type { name: "Other" }
    message_type {
      name: "Envelope"
      nested_type { name: "Padding" }
      nested_type {
        name: "Decision"
        field { name: "profile_id" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL options { [confluent.field_meta] { tags: "PII" } } }
        field { name: "task_id" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
        field { name: "state" number: 3 type: TYPE_ENUM type_name: ".com.example.shared.State" label: LABEL_OPTIONAL }
        field { name: "decided_at" number: 4 type: TYPE_MESSAGE type_name: ".google.protobuf.Timestamp" label: LABEL_OPTIONAL }
        field { name: "fee" number: 5 type: TYPE_MESSAGE type_name: ".google.type.Money" label: LABEL_OPTIONAL }
      }
    }""",
]


def protobuf(client, topic):
    pool = descriptor_pool.Default()
    for text in FILES:
        file = text_format.Parse(text, descriptor_pb2.FileDescriptorProto(), descriptor_pool=pool)
        pool.AddSerializedFile(file.SerializeToString())
    message = message_factory.GetMessageClass(pool.FindMessageTypeByName("com.example.Envelope.Decision"))
    serializer = ProtobufSerializer(message, client, {
        "use.deprecated.format": False,
        "subject.name.strategy": lambda *_: topic + "-protobuf",
    })

    def serialize(decision, context):
        fee = money_pb2.Money(currency_code="EUR", units=5)
        m = message(fee=fee, **decision)
        m.decided_at.GetCurrentTime()
        return serializer(m, context)

    return serialize


def guid_in_header(payload, context, schema_id):
    """Names the schema by its GUID, or by one that no schema has if the registry has none."""
    schema_id.guid = schema_id.guid or uuid.uuid4()
    return header_schema_id_serializer(payload, context, schema_id)


serializers = {
    "avro": avro,
    "another avro": lambda client, topic: avro(client, topic, {"name": "score", "type": "double", "default": 0}),
    "avro, guid": lambda client, topic: avro(client, topic, **{"schema.id.serializer": guid_in_header}),
    "json": json_schema,
    "protobuf": protobuf,
}


def main(brokers, topic, registry):
    client = SchemaRegistryClient({"url": registry})
    producer = Producer({"bootstrap.servers": brokers, "partitioner": "murmur2_random", "enable.metrics.push": False})
    made, offsets = {}, []
    for i, line in enumerate(sys.stdin):
        decision = json.loads(line)
        kind = decision.pop("as")
        if kind not in made:
            made[kind] = serializers[kind](client, topic)
        headers, key = [], decision["profile_id"]
        value = made[kind](decision, SerializationContext(topic, MessageField.VALUE, headers))
        offsets.append(None)

        def delivered(err, message, i=i):
            if err is not None:
                raise RuntimeError(err)
            offsets[i] = {"partition": message.partition(), "offset": message.offset()}

        producer.produce(topic, value, key, headers=headers, on_delivery=delivered)
    if producer.flush(60) > 0:
        sys.exit("not all is delivered")
    for offset in offsets:
        print(json.dumps(offset))


main(*sys.argv[1:])
