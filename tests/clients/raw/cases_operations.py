"""Every operation of the API, in CBOR and in JSON."""

import json
import time

import cbor
from report import SCHEME, SPACE, equal, true, until
from wire import Failure, Wire, blob

SHARD = "shardId-000000000000"


class Story:
    """The same story told in one encoding."""

    def __init__(self, encoding):
        self.encoding = encoding
        self.call = Wire(encoding)
        self.prefix = f"raw-{SCHEME}-{encoding}"

    def name(self, text):
        return f"{self.prefix}-{text}"

    def summary(self, stream):
        return self.call("DescribeStreamSummary", StreamName=stream)["StreamDescriptionSummary"]

    def active(self, stream):
        until(f"{stream} is active", 30, lambda: self.summary(stream)["StreamStatus"] == "ACTIVE")

    def create(self, text, shards=1):
        stream = self.name(text)
        self.call("CreateStream", StreamName=stream, ShardCount=shards)
        self.active(stream)
        return stream, self.summary(stream)["StreamARN"]

    def is_time(self, value, what):
        """A moment of the last minute, in the form that this encoding has for it."""
        true(isinstance(value, cbor.Time if self.encoding == "cbor" else float | int), f"{what} is {value!r}")
        seconds = value / 1000 if self.encoding == "cbor" else value
        true(abs(time.time() - seconds) < 120, f"{what} is {value!r}")

    def streams(self):
        stream, arn = self.create("stream", 2)
        described = self.call("DescribeStream", StreamName=stream, Limit=1)["StreamDescription"]
        equal((len(described["Shards"]), described["HasMoreShards"]), (1, True), "shards")
        self.is_time(described["StreamCreationTimestamp"], "StreamCreationTimestamp")
        self.is_time(self.call("ListStreams", Limit=100)["StreamSummaries"][0]["StreamCreationTimestamp"], "StreamCreationTimestamp")
        equal(self.call("AddTagsToStream", StreamName=stream, Tags={"a": "1", "b": "2"}), None, "an answer without a body")
        self.call("RemoveTagsFromStream", StreamName=stream, TagKeys=["b"])
        equal(self.call("ListTagsForStream", StreamARN=arn), {"Tags": [{"Key": "a", "Value": "1"}], "HasMoreTags": False}, "tags")
        self.call("TagResource", ResourceARN=arn, Tags={"c": "ü"})
        self.call("UntagResource", ResourceARN=arn, TagKeys=["a"])
        equal(self.call("ListTagsForResource", ResourceARN=arn), {"Tags": [{"Key": "c", "Value": "ü"}]}, "tags")
        self.call("IncreaseStreamRetentionPeriod", StreamName=stream, RetentionPeriodHours=100)
        self.call("DecreaseStreamRetentionPeriod", StreamName=stream, RetentionPeriodHours=50)
        equal(self.summary(stream)["RetentionPeriodHours"], 50, "hours")
        self.call("PutResourcePolicy", ResourceARN=arn, Policy=json.dumps(policy(arn)))
        equal(json.loads(self.call("GetResourcePolicy", ResourceARN=arn)["Policy"]), policy(arn), "policy")
        self.call("DeleteResourcePolicy", ResourceARN=arn)
        metrics = self.call("EnableEnhancedMonitoring", StreamName=stream, ShardLevelMetrics=["ALL"])
        true("IncomingRecords" in metrics["DesiredShardLevelMetrics"] or metrics["DesiredShardLevelMetrics"] == ["ALL"], f"{metrics}")
        equal(self.call("DisableEnhancedMonitoring", StreamName=stream, ShardLevelMetrics=["ALL"])["DesiredShardLevelMetrics"], [], "metrics")
        self.call("StartStreamEncryption", StreamName=stream, EncryptionType="KMS", KeyId="alias/aws/kinesis")
        equal(self.summary(stream)["EncryptionType"], "KMS", "EncryptionType")
        self.call("StopStreamEncryption", StreamName=stream, EncryptionType="KMS", KeyId="alias/aws/kinesis")
        self.call("UpdateMaxRecordSize", StreamARN=arn, MaxRecordSizeInKiB=2048)
        equal(self.summary(stream)["MaxRecordSizeInKiB"], 2048, "MaxRecordSizeInKiB")
        true(self.call("DescribeLimits")["OpenShardCount"] >= 2, "OpenShardCount")
        self.call("DeleteStream", StreamName=stream)
        until("the stream is gone", 30, lambda: stream not in self.call("ListStreams", Limit=100)["StreamNames"])

    def on_demand(self):
        status = {"Status": "ENABLED"}
        self.call("UpdateAccountSettings", MinimumThroughputBillingCommitment=status)
        true("MinimumThroughputBillingCommitment" in self.call("DescribeAccountSettings"), "the commitment")
        stream, arn = self.create("modes")
        self.call("UpdateStreamMode", StreamARN=arn, StreamModeDetails={"StreamMode": "ON_DEMAND"})
        warm = self.call("UpdateStreamWarmThroughput", StreamARN=arn, WarmThroughputMiBps=10)
        equal((warm["StreamName"], warm["WarmThroughput"]["TargetMiBps"]), (stream, 10), "warm throughput")
        self.call("UpdateStreamRecordDistributionStrategy", StreamARN=arn, RecordDistributionStrategy="AUTO")
        self.call("PutRecord", StreamName=stream, Data=b"no key")

    def records(self):
        stream, arn = self.create("records", 2)
        put = self.call("PutRecord", StreamARN=arn, Data=bytes(range(256)), PartitionKey="ключ", ExplicitHashKey="0")
        equal(put["ShardId"], SHARD, "ShardId")
        true("EncryptionType" not in put, "no EncryptionType")
        sent = [bytes(range(256))] + [str(i).encode() * 50 for i in range(300)]
        entries = [{"Data": data, "PartitionKey": f"k{i}", "ExplicitHashKey": "7"} for i, data in enumerate(sent[1:])]
        answer = self.call("PutRecords", StreamName=stream, Records=entries)
        equal((answer["FailedRecordCount"], len(answer["Records"])), (0, 300), "results")
        for kind, more, first in (
            ("TRIM_HORIZON", {}, 0),
            ("AT_SEQUENCE_NUMBER", {"StartingSequenceNumber": answer["Records"][4]["SequenceNumber"]}, 5),
            ("AFTER_SEQUENCE_NUMBER", {"StartingSequenceNumber": answer["Records"][4]["SequenceNumber"]}, 6),
            ("AT_TIMESTAMP", {"Timestamp": cbor.Time(1_700_000_000_123)}, 0),
        ):
            position = self.call("GetShardIterator", StreamName=stream, ShardId=SHARD, ShardIteratorType=kind, **more)["ShardIterator"]
            true(len(position) <= 512, "an iterator fits")
            equal([blob(r["Data"]) for r in self.read(position)], sent[first:], kind)
        latest = self.call("GetShardIterator", StreamName=stream, ShardId=SHARD, ShardIteratorType="LATEST")["ShardIterator"]
        page = self.call("GetRecords", ShardIterator=f'"{latest}"')
        equal((page["Records"], page["MillisBehindLatest"]), ([], 0), "the tip, by an iterator in quotes")

    def read(self, position):
        records = []
        for _ in range(100):
            page = self.call("GetRecords", ShardIterator=position, Limit=100)
            records += page["Records"]
            for record in page["Records"]:
                self.is_time(record["ApproximateArrivalTimestamp"], "ApproximateArrivalTimestamp")
            position = page.get("NextShardIterator")
            if position is None or not page["Records"]:
                return records
        raise AssertionError("no end")

    def shards(self):
        stream, arn = self.create("shards", 2)
        self.call("SplitShard", StreamName=stream, ShardToSplit=SHARD, NewStartingHashKey=str(SPACE // 4))
        self.active(stream)
        self.call("MergeShards", StreamARN=arn, ShardToMerge="shardId-000000000002", AdjacentShardToMerge="shardId-000000000003")
        self.active(stream)
        scaled = self.call("UpdateShardCount", StreamName=stream, TargetShardCount=4, ScalingType="UNIFORM_SCALING")
        equal((scaled["CurrentShardCount"], scaled["TargetShardCount"]), (2, 4), "shard counts")
        self.active(stream)
        page = self.call("ListShards", StreamName=stream, MaxResults=3)
        shards = list(page["Shards"])
        while "NextToken" in page:
            page = self.call("ListShards", NextToken=page["NextToken"], MaxResults=3)
            shards += page["Shards"]
        open_shards = [s for s in shards if "EndingSequenceNumber" not in s["SequenceNumberRange"]]
        equal(len(open_shards), 4, "open shards")
        # Shards have their places in time by whole seconds, and these changes came faster: some moment's shards cover the space once.
        moment = cbor.Time(int(time.time() * 1000))
        at = self.call("ListShards", StreamName=stream, ShardFilter={"Type": "AT_TIMESTAMP", "Timestamp": moment})["Shards"]
        ranges = sorted((int(s["HashKeyRange"]["StartingHashKey"]), int(s["HashKeyRange"]["EndingHashKey"]) + 1) for s in at)
        equal([start for start, _ in ranges] + [SPACE], [0] + [end for _, end in ranges], "the ranges of shards AT_TIMESTAMP")

    def fan_out(self):
        stream, arn = self.create("push")
        registered = self.call("RegisterStreamConsumer", StreamARN=arn, ConsumerName="app")["Consumer"]
        self.is_time(registered["ConsumerCreationTimestamp"], "ConsumerCreationTimestamp")
        consumer = registered["ConsumerARN"]
        status = lambda: self.call("DescribeStreamConsumer", ConsumerARN=consumer)["ConsumerDescription"]["ConsumerStatus"]
        until("the consumer is active", 30, lambda: status() == "ACTIVE")
        equal(len(self.call("ListStreamConsumers", StreamARN=arn)["Consumers"]), 1, "consumers")
        stream_of_events = Wire(self.encoding)("SubscribeToShard", ConsumerARN=consumer, ShardId=SHARD, StartingPosition={"Type": "LATEST"})
        self.call("PutRecord", StreamName=stream, Data=b"pushed", PartitionKey="k")
        event = next(e for e in stream_of_events.events() if e["Records"])
        equal(blob(event["Records"][0]["Data"]), b"pushed", "the record pushed")
        self.is_time(event["Records"][0]["ApproximateArrivalTimestamp"], "ApproximateArrivalTimestamp")
        stream_of_events.close()
        self.call("DeregisterStreamConsumer", StreamARN=arn, ConsumerName="app")

    def errors(self):
        missing = self.name("missing")
        for operation, members, code in (
            ("DescribeStream", {"StreamName": missing}, "ResourceNotFoundException"),
            ("DescribeStream", {"StreamName": ""}, "ValidationException"),
            ("ListShards", {"StreamName": 5}, "SerializationException"),
            ("GetRecords", {"ShardIterator": "garbage"}, "InvalidArgumentException"),
            ("NoSuchOperation", {}, "UnknownOperationException"),
        ):
            try:
                raise AssertionError(f"{operation} {members} gave {self.call(operation, **members)}")
            except Failure as failure:
                equal((failure.status, failure.code), (400, code), f"{operation} {members}")


def policy(arn):
    statement = {"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": ["kinesis:PutRecord"], "Resource": arn}
    return {"Version": "2012-10-17", "Statement": [statement]}


def case(encoding, part):
    def told():
        getattr(Story(encoding), part)()

    told.__name__ = f"{part} in {encoding.upper()}"
    return told


PARTS = ["streams", "on_demand", "records", "shards", "fan_out", "errors"]
CASES = [case(encoding, part) for encoding in ("json", "cbor") for part in PARTS]
