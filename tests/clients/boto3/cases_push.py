"""Enhanced fan-out: a consumer of its own, and records pushed to it."""

import json
import statistics
import threading
import time

from report import SPACE, equal, true, until
from session import active_consumer, arn, create, fails, kinesis, report

SHARD = "shardId-000000000000"


def subscribe(consumer, position, shard=SHARD):
    """Subscribes; waits out the 5 seconds for which the shard still belongs to an earlier call of the consumer."""

    def attempt():
        try:
            return kinesis.subscribe_to_shard(ConsumerARN=consumer, ShardId=shard, StartingPosition=position)
        except kinesis.exceptions.ResourceInUseException:
            return None

    return until(f"a subscription from {position}", 15, attempt)["EventStream"]


def events(stream):
    """The events of a subscription, each checked for what must be in it."""
    for event in stream:
        event = event["SubscribeToShardEvent"]
        ended = "ContinuationSequenceNumber" not in event
        true(ended == bool(event.get("ChildShards")), "an event has a continuation or child shards")
        true("MillisBehindLatest" in event, "MillisBehindLatest")
        yield event


def fan_out():
    stream = create("push", 1)
    stream_arn = arn(stream)
    registered = kinesis.register_stream_consumer(StreamARN=stream_arn, ConsumerName="app", Tags={"a": "b"})["Consumer"]
    consumer = registered["ConsumerARN"]
    true(consumer.startswith(f"{stream_arn}/consumer/app:"), consumer)
    described = active_consumer(consumer)
    equal((described["ConsumerName"], described["StreamARN"]), ("app", stream_arn), "the consumer")
    by_name = kinesis.describe_stream_consumer(StreamARN=stream_arn, ConsumerName="app")["ConsumerDescription"]
    equal(by_name["ConsumerARN"], consumer, "the consumer by its name")
    listed = kinesis.list_stream_consumers(StreamARN=stream_arn)["Consumers"]
    equal([c["ConsumerName"] for c in listed], ["app"], "consumers")
    equal(kinesis.list_tags_for_resource(ResourceARN=consumer)["Tags"], [{"Key": "a", "Value": "b"}], "tags of the consumer")
    fails("ResourceInUseException", lambda: kinesis.register_stream_consumer(StreamARN=stream_arn, ConsumerName="app"))

    subscription = subscribe(consumer, {"Type": "LATEST"})
    fails(
        "ResourceInUseException",
        lambda: kinesis.subscribe_to_shard(ConsumerARN=consumer, ShardId=SHARD, StartingPosition={"Type": "LATEST"}),
    )
    seen, times = receive_pushes(subscription, stream, 20)
    subscription.close()
    from_put, from_answer = zip(*times)
    report_latency("put_to_push_ms", from_put)
    report_latency("answer_to_push_ms", from_answer)

    # Between the two subscriptions records come in; the second goes on behind the last event of the first.
    kinesis.put_record(StreamName=stream, Data=b"between", PartitionKey="k")
    for kind in ("AFTER_SEQUENCE_NUMBER", "AT_SEQUENCE_NUMBER"):
        number = seen["ContinuationSequenceNumber"] if kind.startswith("AFTER") else seen["Records"][-1]["SequenceNumber"]
        subscription = subscribe(consumer, {"Type": kind, "SequenceNumber": number})
        first = next(e for e in events(subscription) if e["Records"])
        expected = b"between" if kind.startswith("AFTER") else seen["Records"][-1]["Data"]
        equal(first["Records"][0]["Data"], expected, f"the first record from {kind}")
        subscription.close()
    kinesis.deregister_stream_consumer(ConsumerARN=consumer)
    until("the consumer is gone", 10, lambda: not kinesis.list_stream_consumers(StreamARN=stream_arn)["Consumers"])
    fails("ResourceNotFoundException", lambda: kinesis.describe_stream_consumer(ConsumerARN=consumer))


def receive_pushes(subscription, stream, count):
    """Puts one record at a time, and waits for each to be pushed."""
    incoming = events(subscription)
    times = []
    for i in range(count):
        before = time.perf_counter()
        kinesis.put_record(StreamName=stream, Data=json.dumps({"number": i}).encode(), PartitionKey="k")
        answered = time.perf_counter()
        event = next(e for e in incoming if e["Records"])
        now = time.perf_counter()
        equal(json.loads(event["Records"][0]["Data"]), {"number": i}, "the record pushed")
        times.append((now - before, now - answered))
    return event, times


def report_latency(what, seconds):
    report.measure(what, round(statistics.median(seconds) * 1000, 3))


def fan_out_across_a_split():
    """A subscription tells the children of a shard that ends, and they are subscribed to from their beginning."""
    stream = create("push-split", 1)
    consumer = kinesis.register_stream_consumer(StreamARN=arn(stream), ConsumerName="app")["Consumer"]["ConsumerARN"]
    active_consumer(consumer)
    kinesis.put_record(StreamName=stream, Data=b"before", PartitionKey="k", ExplicitHashKey="0")
    subscription = subscribe(consumer, {"Type": "TRIM_HORIZON"})

    def split():
        kinesis.split_shard(StreamName=stream, ShardToSplit=SHARD, NewStartingHashKey=str(SPACE // 2))
        kinesis.put_record(StreamName=stream, Data=b"after", PartitionKey="k", ExplicitHashKey="0")

    splitter = threading.Timer(0.3, split)
    splitter.start()
    got, children = [], None
    for event in events(subscription):
        got += [r["Data"] for r in event["Records"]]
        children = event.get("ChildShards")
    splitter.join()
    equal(got, [b"before"], "records of the parent")
    equal([c["ShardId"] for c in children], ["shardId-000000000001", "shardId-000000000002"], "children")
    equal([c["ParentShards"] for c in children], [[SHARD]] * 2, "parents of the children")
    child = subscribe(consumer, {"Type": "TRIM_HORIZON"}, children[0]["ShardId"])
    event = next(e for e in events(child) if e["Records"])
    equal([r["Data"] for r in event["Records"]], [b"after"], "records of the child")
    child.close()
    fails("ResourceInUseException", lambda: kinesis.delete_stream(StreamName=stream))
    kinesis.delete_stream(StreamName=stream, EnforceConsumerDeletion=True)


def fan_out_errors():
    stream = create("push-errors", 1)
    stream_arn = arn(stream)
    consumer = kinesis.register_stream_consumer(StreamARN=stream_arn, ConsumerName="app")["Consumer"]["ConsumerARN"]
    active_consumer(consumer)
    unknown = consumer.replace("consumer/app", "consumer/none")
    latest = {"Type": "LATEST"}
    sub = kinesis.subscribe_to_shard
    fails("ResourceNotFoundException", lambda: sub(ConsumerARN=unknown, ShardId=SHARD, StartingPosition=latest))
    fails("ResourceNotFoundException", lambda: sub(ConsumerARN=consumer, ShardId="shardId-000000000099", StartingPosition=latest))
    fails("InvalidArgumentException", lambda: sub(ConsumerARN=consumer, ShardId=SHARD, StartingPosition={"Type": "AT_SEQUENCE_NUMBER"}))
    fails("DryRunOperationException", lambda: sub(ConsumerARN=consumer, ShardId=SHARD, StartingPosition=latest, DryRun=True))


CASES = [fan_out, fan_out_across_a_split, fan_out_errors]
