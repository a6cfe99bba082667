"""Errors by their types, signatures, and the operations that fewer programs use."""

import json
import os
import threading
import time

from report import CLOCKED_ENDPOINT, KEYED_ENDPOINT, SPACE, equal, set_clock, true
from session import arn, client, create, fails, iterator, kinesis, millstream, name, read, report

SHARD = "shardId-000000000000"


def errors():
    stream = create("errors", 2)
    missing = name("missing")
    k = kinesis
    fails("ResourceNotFoundException", lambda: k.describe_stream(StreamName=missing), missing, "not found")
    fails("ResourceNotFoundException", lambda: k.put_record(StreamName=missing, Data=b"", PartitionKey="k"))
    fails("ResourceNotFoundException", lambda: k.delete_stream(StreamName=missing))
    fails("ResourceNotFoundException", lambda: iterator(stream, "shardId-000000000077"))
    fails("ResourceInUseException", lambda: k.create_stream(StreamName=stream, ShardCount=1))
    split = lambda key, shard=SHARD: k.split_shard(StreamName=stream, ShardToSplit=shard, NewStartingHashKey=key)
    fails("InvalidArgumentException", lambda: split(str(SPACE - 1)))
    fails("ResourceNotFoundException", lambda: split("5", "shardId-000000000077"))
    fails("InvalidArgumentException", lambda: k.get_records(ShardIterator="AAAAgarbage"))
    fails("InvalidArgumentException", lambda: k.increase_stream_retention_period(StreamName=stream, RetentionPeriodHours=24 * 366))
    fails("InvalidArgumentException", lambda: k.increase_stream_retention_period(StreamName=stream, RetentionPeriodHours=12))
    fails("InvalidArgumentException", lambda: iterator(stream, SHARD, StartingSequenceNumber="1"))
    fails("InvalidArgumentException", lambda: iterator(stream, SHARD, "AT_SEQUENCE_NUMBER"))
    fails("InvalidArgumentException", lambda: iterator(stream, SHARD, "AT_TIMESTAMP", Timestamp=4102444800))
    fails("InvalidArgumentException", lambda: k.put_record(StreamName=stream, Data=b"", PartitionKey="k", ExplicitHashKey=str(SPACE)))
    fails("ValidationException", lambda: k.put_record(StreamName=stream, Data=b"", PartitionKey="k", ExplicitHashKey="0x1"))

    # The client checks some things itself; told not to, it lets the node check them.
    lax = client(parameter_validation=False)
    expect = "1 validation error detected: Value 'bad name!' at 'streamName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
    fails("ValidationException", lambda: lax.describe_stream(StreamName="bad name!"), expect)
    fails("ValidationException", lambda: lax.put_records(StreamName=stream, Records=[]), "'records'", "Member must have length greater than or equal to 1")
    many = [{"Data": b"", "PartitionKey": "k"}] * 501
    fails("ValidationException", lambda: lax.put_records(StreamName=stream, Records=many), "'records'", "Member must have length less than or equal to 500")
    wrong = lambda: lax.create_stream(StreamName="", StreamModeDetails={"StreamMode": "SOMETIMES"})
    fails("ValidationException", wrong, "validation errors detected", "'streamName'", "'streamModeDetails.streamMode'")
    fails("SerializationException", lambda: lax.describe_stream(StreamName=stream, Limit="many"))

    dry = {"DryRun": True}
    fails("DryRunOperationException", lambda: k.put_record(StreamName=stream, Data=b"", PartitionKey="k", **dry))
    fails("DryRunOperationException", lambda: k.put_records(StreamName=stream, Records=[{"Data": b"", "PartitionKey": "k"}], **dry))
    fails("DryRunOperationException", lambda: iterator(stream, SHARD, **dry))
    position = iterator(stream, SHARD)
    fails("DryRunOperationException", lambda: k.get_records(ShardIterator=position, **dry))
    equal(read(position)[0], [], "nothing was put by the dry runs")


def expiry():
    """Iterators and tokens live for 5 minutes of the node's clock, and then fail as themselves."""
    by = client(CLOCKED_ENDPOINT)
    stream, other = name("expiry"), name("expiry-other")
    for each in (stream, other):
        by.create_stream(StreamName=each, ShardCount=2)
        by.get_waiter("stream_exists").wait(StreamName=each, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    stream_arn = by.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamARN"]
    for consumer in ("one", "two"):
        by.register_stream_consumer(StreamARN=stream_arn, ConsumerName=consumer)
    by.put_record(StreamName=stream, Data=b"x", PartitionKey="k", ExplicitHashKey="0")
    position = by.get_shard_iterator(StreamName=stream, ShardId=SHARD, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    shards = by.list_shards(StreamName=stream, MaxResults=1)["NextToken"]
    consumers = by.list_stream_consumers(StreamARN=stream_arn, MaxResults=1)["NextToken"]
    streams = by.list_streams(Limit=1)["NextToken"]

    get = lambda position: by.get_records(ShardIterator=position)
    more_shards = lambda: by.list_shards(NextToken=shards)["Shards"]
    more_consumers = lambda: by.list_stream_consumers(StreamARN=stream_arn, NextToken=consumers)["Consumers"]
    more_streams = lambda: by.list_streams(NextToken=streams)["StreamNames"]
    set_clock("+240s")
    page = get(position)
    equal([r["Data"] for r in page["Records"]], [b"x"], "records after 4 minutes")
    equal((len(more_shards()), len(more_consumers()), more_streams()), (1, 1, [other]), "second pages after 4 minutes")
    set_clock("+301s")
    fails("ExpiredIteratorException", lambda: get(position), "Iterator expired", "tolerated delay of 300000 milliseconds")
    fails("ExpiredNextTokenException", more_shards, "expired")
    fails("ExpiredNextTokenException", more_consumers, "expired")
    fails("ExpiredNextTokenException", more_streams, "expired")
    # Each answer brings a new one.
    equal(get(page["NextShardIterator"])["Records"], [], "records by the iterator that the first one was traded for")


def signatures():
    good = client(KEYED_ENDPOINT, os.environ["MILLSTREAM_KEY"], os.environ["MILLSTREAM_SECRET"])
    reader = client(KEYED_ENDPOINT, os.environ["MILLSTREAM_READER_KEY"], os.environ["MILLSTREAM_READER_SECRET"])
    wrong = client(KEYED_ENDPOINT, os.environ["MILLSTREAM_KEY"], "not the secret")
    unknown = client(KEYED_ENDPOINT, "AKIDUNKNOWN", "any")
    stream = name("signed")
    good.create_stream(StreamName=stream, ShardCount=1)
    # This node imitates the transitions of the real service: the stream is CREATING for a while.
    status = good.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamStatus"]
    equal(status, "CREATING", "the status at first")
    fails("ResourceNotFoundException", lambda: good.put_record(StreamName=stream, Data=b"", PartitionKey="k"))
    good.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    good.put_record(StreamName=stream, Data="größe".encode(), PartitionKey="ключ")
    fails("InvalidSignatureException", lambda: wrong.list_streams(), "signature")
    fails("UnrecognizedClientException", lambda: unknown.list_streams(), "The security token included in the request is invalid")
    position = reader.get_shard_iterator(StreamName=stream, ShardId=SHARD, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    equal(len(reader.get_records(ShardIterator=position)["Records"]), 1, "records read by the reader")
    fails("AccessDeniedException", lambda: reader.put_record(StreamName=stream, Data=b"", PartitionKey="k"), "PutRecord")
    good.delete_stream(StreamName=stream)
    status = good.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamStatus"]
    equal(status, "DELETING", "the status while it goes")
    good.get_waiter("stream_not_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1, "MaxAttempts": 30})


def policies():
    stream_arn = arn(create("policies", 1))
    equal(json.loads(kinesis.get_resource_policy(ResourceARN=stream_arn)["Policy"]), {}, "no policy")
    statement = {"Sid": "read", "Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "kinesis:GetRecords", "Resource": stream_arn}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    kinesis.put_resource_policy(ResourceARN=stream_arn, Policy=json.dumps(policy))
    equal(json.loads(kinesis.get_resource_policy(ResourceARN=stream_arn)["Policy"]), policy, "the policy")
    kinesis.delete_resource_policy(ResourceARN=stream_arn)
    fails("ResourceNotFoundException", lambda: kinesis.delete_resource_policy(ResourceARN=stream_arn))


def encryption():
    stream = create("encryption", 1)
    key = {"StreamName": stream, "EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"}
    kinesis.start_stream_encryption(**key)
    summary = kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
    equal((summary["EncryptionType"], summary["KeyId"]), ("KMS", "alias/aws/kinesis"), "encryption")
    equal(kinesis.put_record(StreamName=stream, Data=b"x", PartitionKey="k")["EncryptionType"], "KMS", "of PutRecord")
    equal(read(iterator(stream, SHARD))[0][0]["EncryptionType"], "KMS", "of a record")
    kinesis.stop_stream_encryption(**key)
    equal(kinesis.describe_stream(StreamName=stream)["StreamDescription"]["EncryptionType"], "NONE", "encryption")


def monitoring():
    stream = create("monitoring", 1)
    on = kinesis.enable_enhanced_monitoring(StreamName=stream, ShardLevelMetrics=["IncomingBytes", "OutgoingBytes"])
    equal((on["CurrentShardLevelMetrics"], sorted(on["DesiredShardLevelMetrics"])), ([], ["IncomingBytes", "OutgoingBytes"]), "metrics")
    off = kinesis.disable_enhanced_monitoring(StreamName=stream, ShardLevelMetrics=["IncomingBytes"])
    equal(off["DesiredShardLevelMetrics"], ["OutgoingBytes"], "metrics")
    summary = kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
    equal(summary["EnhancedMonitoring"], [{"ShardLevelMetrics": ["OutgoingBytes"]}], "EnhancedMonitoring")


def large_records():
    stream = create("large", 1)
    data = os.urandom(1_500_000)
    put = lambda: kinesis.put_record(StreamName=stream, Data=data, PartitionKey="k")
    fails("InvalidArgumentException", put)
    kinesis.update_max_record_size(StreamARN=arn(stream), MaxRecordSizeInKiB=10240)
    equal(kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["MaxRecordSizeInKiB"], 10240, "MaxRecordSizeInKiB")
    put()
    kinesis.put_record(StreamName=stream, Data=data * 6, PartitionKey="k")
    equal([r["Data"] for r in read(iterator(stream, SHARD))[0]], [data, data * 6], "large records")
    fails("ValidationException", lambda: kinesis.update_max_record_size(StreamARN=arn(stream), MaxRecordSizeInKiB=99999))


def account_and_on_demand():
    limits = kinesis.describe_limits()
    true(limits["ShardLimit"] >= limits["OpenShardCount"] > 0, f"{limits}")
    before = kinesis.describe_account_settings()["MinimumThroughputBillingCommitment"]["Status"]
    # Whoever ran before on this node may have begun it, and it lasts for a day.
    true(before in ("DISABLED", "ENABLED"), f"the commitment: {before}")
    enable = {"MinimumThroughputBillingCommitment": {"Status": "ENABLED"}}
    equal(kinesis.update_account_settings(**enable)["MinimumThroughputBillingCommitment"]["Status"], "ENABLED", "the commitment")
    stream = name("on-demand")
    kinesis.create_stream(StreamName=stream, StreamModeDetails={"StreamMode": "ON_DEMAND"})
    kinesis.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1})
    stream_arn = arn(stream)
    equal(kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["OpenShardCount"], 4, "shards of an on-demand stream")
    warm = kinesis.update_stream_warm_throughput(StreamARN=stream_arn, WarmThroughputMiBps=8)["WarmThroughput"]
    equal(warm["TargetMiBps"], 8, "TargetMiBps")
    strategy = kinesis.update_stream_record_distribution_strategy
    strategy(StreamARN=stream_arn, RecordDistributionStrategy="AUTO")
    equal(kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["RecordDistributionStrategy"], "AUTO", "strategy")
    kinesis.put_record(StreamName=stream, Data=b"no key")
    strategy(StreamARN=stream_arn, RecordDistributionStrategy="USER_PARTITION_KEY")
    provisioned = arn(create("provisioned", 1))
    fails("InvalidArgumentException", lambda: strategy(StreamARN=provisioned, RecordDistributionStrategy="AUTO"))


def long_polling():
    """With get_records_wait, an empty GetRecords waits for a record; one that gets none is empty in the end."""
    stream = create("waits", 1)
    millstream("stream", "update", stream, "--get-records-wait", "5s")
    position = iterator(stream, SHARD, "LATEST")
    putter = threading.Timer(0.5, lambda: kinesis.put_record(StreamName=stream, Data=b"x", PartitionKey="k"))
    putter.start()
    page = kinesis.get_records(ShardIterator=position)
    putter.join()
    equal([r["Data"] for r in page["Records"]], [b"x"], "the record waited for")
    millstream("stream", "update", stream, "--get-records-wait", "200ms")
    started = time.monotonic()
    equal(kinesis.get_records(ShardIterator=page["NextShardIterator"])["Records"], [], "records when none comes")
    true(time.monotonic() - started >= 0.2, "it waited")


def every_operation_was_called():
    """Past all other cases: what the model has, but queues and channels, was answered at least once."""
    everything = {o for o in kinesis.meta.service_model.operation_names if "Queue" not in o and "Channel" not in o}
    equal(sorted(everything - report.answered), [], "operations that were not answered with success")


CASES = [errors, expiry, signatures, policies, encryption, monitoring, large_records, account_and_on_demand, long_polling, every_operation_was_called]
