"""Reads a topic of employee-left from its beginning to its end, in whatever encoding, and prints a JSON object a record.

    python read.py BROKERS TOPIC [REGISTRY]      REGISTRY is the base URL of a registry with Confluent's API

It wants requirements.txt, and for Protobuf employee_left_pb2.py, made from schema/protobuf/employee_left.proto:

    protoc -I schema/protobuf --python_out . employee_left.proto
"""

import json
import sys
from datetime import datetime, timezone

from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from employee_left_pb2 import EmployeeLeft

FIELDS = ("userId", "name", "stateCode", "mobile", "leaveTime", "leaveReason", "corpId", "observedAt")
TIMEOUT = 10  # seconds, for one answer; both libraries would wait for ever
# How the registry's subject is called. Otherwise the library asks the registry first, and not every registry knows that question.
SUBJECT = {"subject.name.strategy.type": "TOPIC"}


def message_fields(message):
    """Gives the fields of a Protobuf message by their JSON names. None is a field that is not set."""
    fields = {}
    for field in message.DESCRIPTOR.fields:
        is_set = not field.has_presence or message.HasField(field.name)
        fields[field.json_name] = getattr(message, field.name) if is_set else None
    return fields


def deserializers(registry_url):
    """Gives, for each content type, what makes a dict of a value."""
    by_type = {"application/json": lambda value, context: json.loads(value)}
    if registry_url:
        registry = SchemaRegistryClient({"url": registry_url, "timeout": TIMEOUT})
        # Without a registry client: it would ask for the schema in a form (?format=serialized) that not every registry gives as it
        # expects. The generated class has all that is needed.
        protobuf = ProtobufDeserializer(EmployeeLeft, SUBJECT)
        by_type |= {
            "application/vnd.confluent.json": JSONDeserializer(None, schema_registry_client=registry, conf=SUBJECT),
            "application/vnd.confluent.avro": AvroDeserializer(registry, conf=SUBJECT),
            "application/vnd.confluent.protobuf": lambda value, context: message_fields(protobuf(value, context)),
        }
    return by_type


def rfc3339(time):
    """Gives RFC 3339 of a time in JSON (text), Avro (datetime) or Protobuf (Timestamp)."""
    if isinstance(time, str):
        return time
    if not isinstance(time, datetime):
        time = time.ToDatetime(tzinfo=timezone.utc)
    return time.isoformat().replace("+00:00", "Z")


def plain(name, value):
    """Gives a field as JSON has it. None is a field that was left out."""
    return rfc3339(value) if name in ("leaveTime", "observedAt") else value


def records(brokers, topic):
    """Gives the records of a topic up to its present end."""
    consumer = Consumer({
        "bootstrap.servers": brokers,
        "group.id": "read.py",  # the library wants one; nothing is committed
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",  # librdkafka's default; Java's is the other
        "enable.partition.eof": True,
    })
    partitions = consumer.list_topics(topic, TIMEOUT).topics[topic].partitions
    consumer.assign([TopicPartition(topic, p) for p in partitions])
    unread = set(partitions)
    while unread:
        message = consumer.poll(TIMEOUT)
        if message is None:
            raise TimeoutError(f"no answer for {TIMEOUT} seconds; not yet at the end of partitions {unread}")
        if message.error() is None:
            yield message
        elif message.error().code() == KafkaError._PARTITION_EOF:
            unread.discard(message.partition())
        else:
            raise RuntimeError(message.error())
    consumer.close()


def main(brokers, topic, registry_url=None):
    deserialize = deserializers(registry_url)
    context = SerializationContext(topic, MessageField.VALUE)
    for message in records(brokers, topic):
        headers = dict(message.headers())
        value = deserialize[headers["content-type"].decode()](message.value(), context)
        event = from_binary(KafkaMessage(headers, message.key(), message.value()), JSONFormat())
        print(json.dumps({
            "partition": message.partition(),
            "offset": message.offset(),
            "key": message.key().decode(),
            "headers": {name: text.decode() for name, text in headers.items()},
            "value": {name: plain(name, value.get(name)) for name in FIELDS},
            "cloudevent": {
                "id": event.get_id(),
                "source": event.get_source(),
                "type": event.get_type(),
                "time": rfc3339(event.get_time()),
                "subject": event.get_subject(),
                "dataschema": event.get_dataschema(),
                "datacontenttype": event.get_datacontenttype(),
            },
        }))


if __name__ == "__main__":
    main(*sys.argv[1:])
