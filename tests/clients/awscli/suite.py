"""The AWS CLI against the node, each command a process, as a person would type them."""

import base64
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "shared"))

from report import CLOCKED_ENDPOINT, ENDPOINT, KEYED_ENDPOINT, REGION, SCHEME, SPACE, Report, equal, set_clock, true

report = Report("aws-cli")
AWS = Path(sys.executable).with_name("aws")
SHARD = "shardId-000000000000"
SCRATCH = Path(tempfile.mkdtemp(prefix="aws-cli-", dir=os.environ.get("MILLSTREAM_TARGET")))


class CliError(Exception):
    pass


def aws(*words, endpoint=ENDPOINT, **variables):
    """`aws kinesis ...`: what it printed, read as JSON."""
    calls = SCRATCH / "calls"
    calls.write_text("")
    config = SCRATCH / "config"
    config.write_text("[plugins]\nrecorder = recorder\n")
    env = os.environ | {"AWS_CONFIG_FILE": str(config), "MILLSTREAM_CALLS": str(calls), "PYTHONPATH": str(Path(__file__).parent)} | variables
    command = [AWS, "--endpoint-url", endpoint, "--output", "json", "kinesis", *words]
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
    for line in calls.read_text().splitlines():
        operation, encoding, status = line.split()
        report.call(operation, encoding, "http/1.1", int(status))
    if done.returncode != 0:
        raise CliError(f"{' '.join(words)}: {done.returncode}: {done.stderr}")
    return json.loads(done.stdout) if done.stdout.strip() else None


def fails(code, *words, **more):
    try:
        answer = aws(*words, **more)
    except CliError as error:
        true(f"({code})" in str(error), f"{code} in {error}")
        return
    raise AssertionError(f"expected {code}, got {answer}")


def stream_named(text):
    return f"aws-cli-{SCHEME}-{text}"


def create(text, shards):
    stream = stream_named(text)
    aws("create-stream", "--stream-name", stream, "--shard-count", str(shards))
    aws("wait", "stream-exists", "--stream-name", stream)
    return stream


def read(stream, kind, *more, shard=SHARD):
    position = aws("get-shard-iterator", "--stream-name", stream, "--shard-id", shard, "--shard-iterator-type", kind, *more)["ShardIterator"]
    return aws("get-records", "--shard-iterator", position)


def life_of_a_stream():
    stream = create("life", 2)
    described = aws("describe-stream", "--stream-name", stream)["StreamDescription"]
    equal((described["StreamStatus"], len(described["Shards"])), ("ACTIVE", 2), "the stream")
    arn = aws("describe-stream-summary", "--stream-name", stream)["StreamDescriptionSummary"]["StreamARN"]
    true(arn.startswith(f"arn:aws:kinesis:{REGION}:"), arn)
    aws("add-tags-to-stream", "--stream-name", stream, "--tags", "team=blue,cost=12")
    aws("remove-tags-from-stream", "--stream-name", stream, "--tag-keys", "cost")
    equal(aws("list-tags-for-stream", "--stream-arn", arn)["Tags"], [{"Key": "team", "Value": "blue"}], "tags")
    aws("increase-stream-retention-period", "--stream-name", stream, "--retention-period-hours", "48")
    aws("decrease-stream-retention-period", "--stream-name", stream, "--retention-period-hours", "24")
    aws("update-stream-mode", "--stream-arn", arn, "--stream-mode-details", "StreamMode=ON_DEMAND")
    true(stream in aws("list-streams")["StreamNames"], "the stream is listed")
    aws("delete-stream", "--stream-name", stream)
    aws("wait", "stream-not-exists", "--stream-name", stream)
    fails("ResourceNotFoundException", "describe-stream-summary", "--stream-name", stream)


def put_and_get():
    stream = create("records", 1)
    put = [aws("put-record", "--stream-name", stream, "--partition-key", f"k{i}", "--data", f"hello {i} ü")["SequenceNumber"] for i in range(2)]
    entries = json.dumps([{"PartitionKey": str(i), "Data": f"data {i}"} for i in range(50)])
    answer = aws("put-records", "--stream-name", stream, "--records", entries)
    equal((answer["FailedRecordCount"], len(answer["Records"])), (0, 50), "results")
    got = read(stream, "TRIM_HORIZON")
    data = [base64.b64decode(r["Data"]).decode() for r in got["Records"]]
    equal(data, ["hello 0 ü", "hello 1 ü"] + [f"data {i}" for i in range(50)], "data")
    equal([r["SequenceNumber"] for r in got["Records"]][:2], put, "sequence numbers")
    first = lambda kind, *more: read(stream, kind, *more)["Records"][0]["SequenceNumber"]
    equal(first("AT_SEQUENCE_NUMBER", "--starting-sequence-number", put[1]), put[1], "AT_SEQUENCE_NUMBER")
    equal(first("AFTER_SEQUENCE_NUMBER", "--starting-sequence-number", put[0]), put[1], "AFTER_SEQUENCE_NUMBER")
    equal(first("AT_TIMESTAMP", "--timestamp", "2020-01-01T00:00:00Z"), put[0], "AT_TIMESTAMP")
    equal(read(stream, "LATEST")["Records"], [], "LATEST")


def resharding():
    stream = create("reshard", 1)
    aws("put-record", "--stream-name", stream, "--partition-key", "a", "--data", "parent")
    aws("split-shard", "--stream-name", stream, "--shard-to-split", SHARD, "--new-starting-hash-key", str(SPACE // 2))
    aws("wait", "stream-exists", "--stream-name", stream)
    aws("merge-shards", "--stream-name", stream, "--shard-to-merge", "shardId-000000000001", "--adjacent-shard-to-merge", "shardId-000000000002")
    aws("wait", "stream-exists", "--stream-name", stream)
    got = read(stream, "TRIM_HORIZON")
    equal([base64.b64decode(r["Data"]) for r in got["Records"]], [b"parent"], "records of the parent")
    answer = aws("get-records", "--shard-iterator", got["NextShardIterator"]) if "NextShardIterator" in got else got
    equal([c["ShardId"] for c in answer["ChildShards"]], ["shardId-000000000001", "shardId-000000000002"], "children")
    scaled = aws("update-shard-count", "--stream-name", stream, "--target-shard-count", "2", "--scaling-type", "UNIFORM_SCALING")
    equal(scaled["TargetShardCount"], 2, "TargetShardCount")


def consumers_and_pages():
    stream = create("pages", 5)
    arn = aws("describe-stream-summary", "--stream-name", stream)["StreamDescriptionSummary"]["StreamARN"]
    pages = aws("describe-stream", "--stream-name", stream, "--page-size", "2")["StreamDescription"]["Shards"]
    equal([s["ShardId"] for s in pages], [f"shardId-{i:012}" for i in range(5)], "shards in pages of 2")
    one = aws("list-shards", "--stream-name", stream, "--no-paginate", "--max-results", "3")
    two = aws("list-shards", "--no-paginate", "--max-results", "3", "--next-token", one["NextToken"])
    equal((len(one["Shards"]), len(two["Shards"]), "NextToken" in two), (3, 2, False), "shards in two pages")
    consumer = aws("register-stream-consumer", "--stream-arn", arn, "--consumer-name", "app")["Consumer"]["ConsumerARN"]
    equal(aws("describe-stream-consumer", "--consumer-arn", consumer)["ConsumerDescription"]["ConsumerName"], "app", "the consumer")
    equal(len(aws("list-stream-consumers", "--stream-arn", arn)["Consumers"]), 1, "consumers")
    aws("deregister-stream-consumer", "--consumer-arn", consumer)


def errors():
    stream = create("errors", 1)
    fails("ResourceInUseException", "create-stream", "--stream-name", stream, "--shard-count", "1")
    fails("ValidationException", "describe-stream", "--stream-name", "bad name!")
    fails("InvalidArgumentException", "split-shard", "--stream-name", stream, "--shard-to-split", SHARD, "--new-starting-hash-key", "0")
    fails("InvalidArgumentException", "get-records", "--shard-iterator", "garbage")
    credentials = {"AWS_ACCESS_KEY_ID": os.environ["MILLSTREAM_KEY"], "AWS_SECRET_ACCESS_KEY": os.environ["MILLSTREAM_SECRET"]}
    aws("list-streams", endpoint=KEYED_ENDPOINT, **credentials)
    fails("InvalidSignatureException", "list-streams", endpoint=KEYED_ENDPOINT, **credentials | {"AWS_SECRET_ACCESS_KEY": "wrong"})
    fails("UnrecognizedClientException", "list-streams", endpoint=KEYED_ENDPOINT)


def expiry():
    by = {"endpoint": CLOCKED_ENDPOINT}
    stream = stream_named("expiry")
    aws("create-stream", "--stream-name", stream, "--shard-count", "2", **by)
    aws("wait", "stream-exists", "--stream-name", stream, **by)
    aws("put-record", "--stream-name", stream, "--partition-key", "k", "--explicit-hash-key", "0", "--data", "x", **by)
    position = aws("get-shard-iterator", "--stream-name", stream, "--shard-id", SHARD, "--shard-iterator-type", "TRIM_HORIZON", **by)["ShardIterator"]
    token = aws("list-shards", "--stream-name", stream, "--no-paginate", "--max-results", "1", **by)["NextToken"]
    get = ["get-records", "--shard-iterator", position]
    more = ["list-shards", "--no-paginate", "--next-token", token]
    set_clock("+240s")
    page = aws(*get, **by)
    equal((len(page["Records"]), len(aws(*more, **by)["Shards"])), (1, 1), "a record and a second page after 4 minutes")
    set_clock("+301s")
    fails("ExpiredIteratorException", *get, **by)
    fails("ExpiredNextTokenException", *more, **by)
    equal(aws("get-records", "--shard-iterator", page["NextShardIterator"], **by)["Records"], [], "records by the iterator that the first one was traded for")


version = subprocess.run([AWS, "--version"], check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
report.version(version.split()[0].split("/")[1])
# Each command starts Python anew, and takes most of a second; over https a part of them is enough.
report.run([life_of_a_stream, put_and_get, resharding, consumers_and_pages, errors, expiry] if SCHEME == "http" else [put_and_get, errors, expiry])
