"""The life of a stream, records in and out, resharding, pages."""

import datetime
import json
import time

from report import REGION, SPACE, check_order, equal, true
from session import arn, create, fails, iterator, kinesis, millstream, name, numbered, read


def life_of_a_stream():
    stream = create("life", 2, Tags={"team": "blue"})
    described = kinesis.describe_stream(StreamName=stream)["StreamDescription"]
    equal(described["StreamStatus"], "ACTIVE", "StreamStatus")
    equal(described["StreamName"], stream, "StreamName")
    equal(described["RetentionPeriodHours"], 24, "RetentionPeriodHours")
    equal(described["HasMoreShards"], False, "HasMoreShards")
    equal([s["ShardId"] for s in described["Shards"]], ["shardId-000000000000", "shardId-000000000001"], "shards")
    equal(int(described["Shards"][-1]["HashKeyRange"]["EndingHashKey"]), SPACE - 1, "the end of the hash space")
    age = time.time() - described["StreamCreationTimestamp"].timestamp()
    true(-5 < age < 60, f"StreamCreationTimestamp is {age} s ago")
    summary = kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
    equal(summary["OpenShardCount"], 2, "OpenShardCount")
    equal(summary["StreamModeDetails"]["StreamMode"], "PROVISIONED", "StreamMode")
    stream_arn = summary["StreamARN"]
    true(stream_arn.startswith(f"arn:aws:kinesis:{REGION}:") and stream_arn.endswith(f":stream/{stream}"), stream_arn)
    true(stream in kinesis.list_streams(Limit=100)["StreamNames"], "the stream is listed")

    kinesis.add_tags_to_stream(StreamName=stream, Tags={"cost": "12", "größe": "groß"})
    tags = {t["Key"]: t["Value"] for t in kinesis.list_tags_for_stream(StreamName=stream)["Tags"]}
    equal(tags, {"team": "blue", "cost": "12", "größe": "groß"}, "tags")
    kinesis.remove_tags_from_stream(StreamARN=stream_arn, TagKeys=["cost"])
    equal([t["Key"] for t in kinesis.list_tags_for_stream(StreamARN=stream_arn)["Tags"]], ["größe", "team"], "tag keys")
    kinesis.tag_resource(ResourceARN=stream_arn, Tags={"tier": "1"})
    kinesis.untag_resource(ResourceARN=stream_arn, TagKeys=["größe"])
    tags = {t["Key"]: t["Value"] for t in kinesis.list_tags_for_resource(ResourceARN=stream_arn)["Tags"]}
    equal(tags, {"team": "blue", "tier": "1"}, "tags of the resource")

    kinesis.increase_stream_retention_period(StreamName=stream, RetentionPeriodHours=48)
    equal(kinesis.describe_stream_summary(StreamARN=stream_arn)["StreamDescriptionSummary"]["RetentionPeriodHours"], 48, "hours")
    kinesis.decrease_stream_retention_period(StreamName=stream, RetentionPeriodHours=24)
    equal(kinesis.describe_stream(StreamARN=stream_arn)["StreamDescription"]["RetentionPeriodHours"], 24, "hours")

    kinesis.update_stream_mode(StreamARN=stream_arn, StreamModeDetails={"StreamMode": "ON_DEMAND"})
    mode = kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamModeDetails"]["StreamMode"]
    equal(mode, "ON_DEMAND", "StreamMode")
    fails("ValidationException", lambda: kinesis.update_shard_count(StreamName=stream, TargetShardCount=4, ScalingType="UNIFORM_SCALING"), "On-Demand")
    kinesis.update_stream_mode(StreamARN=stream_arn, StreamModeDetails={"StreamMode": "PROVISIONED"})

    kinesis.delete_stream(StreamName=stream)
    kinesis.get_waiter("stream_not_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    fails("ResourceNotFoundException", lambda: kinesis.describe_stream_summary(StreamName=stream))


def put_and_get():
    stream = create("records", 2)
    stream_arn = arn(stream)
    blob = bytes(range(256))
    one = kinesis.put_record(StreamName=stream, Data=blob, PartitionKey="a")
    two = kinesis.put_record(StreamARN=stream_arn, Data=b"", PartitionKey="ключ-🔑", SequenceNumberForOrdering=one["SequenceNumber"])
    three = kinesis.put_record(StreamName=stream, Data=b"high", PartitionKey="a", ExplicitHashKey=str(SPACE - 1))
    equal(three["ShardId"], "shardId-000000000001", "the shard of the highest hash key")
    true("EncryptionType" not in one, "no EncryptionType on a stream without encryption")
    entries = [{"Data": f"n{i}".encode() * 100, "PartitionKey": f"key-{i}"} for i in range(500)]
    answer = kinesis.put_records(StreamName=stream, Records=entries)
    equal(answer["FailedRecordCount"], 0, "FailedRecordCount")
    put = [(r["ShardId"], r["SequenceNumber"]) for r in (one, two, three, *answer["Records"])]
    sent = dict(zip(put, [(blob, "a"), (b"", "ключ-🔑"), (b"high", "a"), *((e["Data"], e["PartitionKey"]) for e in entries)]))

    got = {}
    for shard in ("shardId-000000000000", "shardId-000000000001"):
        records, last = read(iterator(stream, shard), limit=100)
        equal(last["MillisBehindLatest"], 0, "MillisBehindLatest")
        numbers = [int(r["SequenceNumber"]) for r in records]
        equal(numbers, sorted(set(numbers)), "sequence numbers rise")
        for r in records:
            got[(shard, r["SequenceNumber"])] = (r["Data"], r["PartitionKey"])
            true(abs(time.time() - r["ApproximateArrivalTimestamp"].timestamp()) < 60, "arrived within the minute")
    equal(got, sent, "records")
    iterators(stream)


def iterators(stream):
    """All types of iterators find their place."""
    shard = "shardId-000000000000"
    records, _ = read(iterator(stream, shard))
    third = records[2]["SequenceNumber"]
    first = lambda kind, **more: read(iterator(stream, shard, kind, **more), count=1)[0][0]["SequenceNumber"]
    equal(first("TRIM_HORIZON"), records[0]["SequenceNumber"], "TRIM_HORIZON")
    equal(first("AT_SEQUENCE_NUMBER", StartingSequenceNumber=third), third, "AT_SEQUENCE_NUMBER")
    equal(first("AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=third), records[3]["SequenceNumber"], "AFTER_SEQUENCE_NUMBER")
    latest = iterator(stream, shard, "LATEST")
    equal(kinesis.get_records(ShardIterator=latest)["Records"], [], "records at the tip")
    time.sleep(0.02)
    put = kinesis.put_record(StreamName=stream, Data=b"late", PartitionKey="x", ExplicitHashKey="0")
    equal([r["SequenceNumber"] for r in read(latest)[0]], [put["SequenceNumber"]], "records after LATEST")
    arrival = read(iterator(stream, shard, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=records[-1]["SequenceNumber"]))[0][0]
    moment = arrival["ApproximateArrivalTimestamp"]
    equal(first("AT_TIMESTAMP", Timestamp=moment), put["SequenceNumber"], "AT_TIMESTAMP")
    old = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    equal(first("AT_TIMESTAMP", Timestamp=old), records[0]["SequenceNumber"], "AT_TIMESTAMP before the first record")


def partial_failures():
    """A stream with the limits of AWS takes 1 MiB a second and shard; the rest of a batch fails record by record."""
    stream = create("limits", 1)
    millstream("stream", "limits", stream, "aws")
    entries = [{"Data": bytes(16384), "PartitionKey": str(i)} for i in range(200)]
    answer = kinesis.put_records(StreamName=stream, Records=entries)
    failed = [r for r in answer["Records"] if "ErrorCode" in r]
    equal(len(answer["Records"]), 200, "results")
    true(0 < len(failed) < 200, f"some records fail: {len(failed)}")
    equal(answer["FailedRecordCount"], len(failed), "FailedRecordCount")
    for r in failed:
        equal(r["ErrorCode"], "ProvisionedThroughputExceededException", "ErrorCode")
        true("Rate exceeded for shard shardId-000000000000 in stream" in r["ErrorMessage"], r["ErrorMessage"])
        true("SequenceNumber" not in r, "a failed record has no sequence number")
    records, _ = read(iterator(stream, "shardId-000000000000"), count=200 - len(failed))
    equal([r["PartitionKey"] for r in records], [str(i) for i, r in enumerate(answer["Records"]) if "ErrorCode" not in r], "stored")


def resharding():
    stream = create("reshard", 2)
    numbers = {}
    numbered(stream, numbers)
    kinesis.split_shard(StreamName=stream, ShardToSplit="shardId-000000000000", NewStartingHashKey=str(SPACE // 4))
    active(stream)
    numbered(stream, numbers)
    # shardId-...3 is the upper child, next to shardId-...1.
    kinesis.merge_shards(StreamName=stream, ShardToMerge="shardId-000000000003", AdjacentShardToMerge="shardId-000000000001")
    active(stream)
    numbered(stream, numbers)
    answer = kinesis.update_shard_count(StreamName=stream, TargetShardCount=4, ScalingType="UNIFORM_SCALING")
    equal((answer["CurrentShardCount"], answer["TargetShardCount"]), (2, 4), "shard counts")
    active(stream)
    numbered(stream, numbers)

    shards = {s["ShardId"]: s for s in kinesis.list_shards(StreamName=stream)["Shards"]}
    open_shards = [s for s in shards.values() if "EndingSequenceNumber" not in s["SequenceNumberRange"]]
    equal(len(open_shards), 4, "open shards")
    equal(kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["OpenShardCount"], 4, "OpenShardCount")
    equal(shards["shardId-000000000002"]["ParentShardId"], "shardId-000000000000", "parent of a split")
    merged = shards["shardId-000000000004"]
    equal({merged["ParentShardId"], merged["AdjacentParentShardId"]}, {"shardId-000000000003", "shardId-000000000001"}, "parents of a merge")
    latest = kinesis.list_shards(StreamName=stream, ShardFilter={"Type": "AT_LATEST"})["Shards"]
    equal({s["ShardId"] for s in latest}, {s["ShardId"] for s in open_shards}, "AT_LATEST")
    after = kinesis.list_shards(StreamName=stream, ShardFilter={"Type": "AFTER_SHARD_ID", "ShardId": "shardId-000000000002"})["Shards"]
    equal([s["ShardId"] for s in after], sorted(s for s in shards if s > "shardId-000000000002"), "AFTER_SHARD_ID")

    records = read_in_order(stream)
    equal(check_order(records), {key: count - 1 for key, count in numbers.items()}, "the last number of each key")


def read_in_order(stream):
    """Parents before children, following ChildShards from the roots."""
    roots = kinesis.list_shards(StreamName=stream, ShardFilter={"Type": "AT_TRIM_HORIZON"})["Shards"]
    waiting, done, records = {s["ShardId"]: [] for s in roots}, set(), []
    while waiting:
        shard = next(s for s, parents in waiting.items() if done.issuperset(parents))
        del waiting[shard]
        got, last = read(iterator(stream, shard))
        records += [(d["key"], d["number"]) for d in (json.loads(r["Data"]) for r in got)]
        done.add(shard)
        closed = "NextShardIterator" not in last
        true(closed == bool(last.get("ChildShards")), "ChildShards come where the iterator ends, and only there")
        for child in last.get("ChildShards", []):
            true(shard in child["ParentShards"], "a child names its parents")
            true("HashKeyRange" in child, "a child has its range")
            waiting[child["ShardId"]] = child["ParentShards"]
    return records


def active(stream):
    kinesis.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1, "MaxAttempts": 30})


def pages():
    streams = sorted(name(f"page-{i}") for i in range(5))
    for stream in streams:
        kinesis.create_stream(StreamName=stream, ShardCount=5)
    stream = streams[0]
    stream_arn = arn(stream)
    found = [s for page in kinesis.get_paginator("list_streams").paginate(Limit=2) for s in page["StreamNames"]]
    true([s for s in found if "-page-" in s] == streams, f"{found} has {streams}")
    summaries = kinesis.list_streams(ExclusiveStartStreamName=streams[1], Limit=1)
    equal((summaries["StreamNames"], summaries["HasMoreStreams"]), ([streams[2]], True), "one stream")
    equal(summaries["StreamSummaries"][0]["StreamName"], streams[2], "StreamSummaries")
    shards = [f"shardId-{i:012}" for i in range(5)]
    pages = list(kinesis.get_paginator("describe_stream").paginate(StreamName=stream, PaginationConfig={"PageSize": 2}))
    equal([s["ShardId"] for p in pages for s in p["StreamDescription"]["Shards"]], shards, "DescribeStream")
    equal(len(pages), 3, "pages of DescribeStream")
    page = kinesis.list_shards(StreamName=stream, MaxResults=2)
    pages = [page]
    while "NextToken" in page:
        page = kinesis.list_shards(NextToken=page["NextToken"], MaxResults=2)
        pages.append(page)
    equal([s["ShardId"] for p in pages for s in p["Shards"]], shards, "ListShards")
    equal(len(pages), 3, "pages of ListShards")
    # The client's own paginator sends the name along with the token, which the real service refuses in these words.
    paginator = kinesis.get_paginator("list_shards").paginate(StreamName=stream, PaginationConfig={"PageSize": 2})
    fails("InvalidArgumentException", lambda: list(paginator), "NextToken and StreamName cannot be provided together.")
    for i in range(5):
        kinesis.register_stream_consumer(StreamARN=stream_arn, ConsumerName=f"c{i}")
    pages = list(kinesis.get_paginator("list_stream_consumers").paginate(StreamARN=stream_arn, PaginationConfig={"PageSize": 2}))
    equal(sorted(c["ConsumerName"] for p in pages for c in p["Consumers"]), [f"c{i}" for i in range(5)], "ListStreamConsumers")
    equal(len(pages), 3, "pages of ListStreamConsumers")
    kinesis.add_tags_to_stream(StreamName=stream, Tags={f"t{i}": "v" for i in range(5)})
    tags, more = [], {}
    while True:
        page = kinesis.list_tags_for_stream(StreamName=stream, Limit=2, **more)
        tags += [t["Key"] for t in page["Tags"]]
        if not page["HasMoreTags"]:
            break
        more = {"ExclusiveStartTagKey": tags[-1]}
    equal(tags, [f"t{i}" for i in range(5)], "ListTagsForStream")
    fails("InvalidArgumentException", lambda: kinesis.list_shards(NextToken="no-such-token"))
    for stream in streams:
        kinesis.delete_stream(StreamName=stream, EnforceConsumerDeletion=True)


CASES = [life_of_a_stream, put_and_get, partial_failures, resharding, pages]
