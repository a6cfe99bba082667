"""The client, its hook, and the few steps that all cases take."""

import json
import os
import subprocess

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from report import ENDPOINT, REGION, SCHEME, Report, equal, true, until

report = Report("boto3")


def client(endpoint=ENDPOINT, key="any", secret="any", **config):
    """An ordinary client, whose own event system tells the report what it called."""
    kinesis = boto3.client(
        "kinesis",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(retries={"mode": "standard", "max_attempts": 3}, **config),
    )
    kinesis.meta.events.register("response-received.kinesis", received)
    return kinesis


def received(event_name, response_dict, **_):
    # There is no answer where there was no connection; the client says so itself.
    if response_dict is None:
        return
    kind = response_dict["headers"].get("content-type", "")
    # SubscribeToShard answers with an event stream; what is in it is JSON.
    encoding = "cbor" if "cbor" in kind else "json"
    report.call(event_name.split(".")[2], encoding, "http/1.1", response_dict["status_code"])


kinesis = client()


def name(text):
    return f"boto3-{SCHEME}-{text}"


def create(text, shards=1, **more):
    stream = name(text)
    kinesis.create_stream(StreamName=stream, ShardCount=shards, **more)
    kinesis.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    return stream


def arn(stream):
    return kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamARN"]


def iterator(stream, shard, kind="TRIM_HORIZON", **more):
    return kinesis.get_shard_iterator(StreamName=stream, ShardId=shard, ShardIteratorType=kind, **more)["ShardIterator"]


def read(position, count=None, limit=1000):
    """All records from an iterator to the tip or to the end of the shard, or `count` of them; and the last answer."""
    records = []
    for _ in range(2000):
        page = kinesis.get_records(ShardIterator=position, Limit=limit)
        records += page["Records"]
        position = page.get("NextShardIterator")
        if position is None or (count is not None and len(records) >= count):
            return records, page
        if count is None and not page["Records"] and page["MillisBehindLatest"] == 0:
            return records, page
    raise AssertionError(f"no end after {len(records)} records")


def fails(code, call, *words):
    """Asserts that `call` fails with this error, as the class that the SDK has for it."""
    try:
        answer = call()
    except ClientError as error:
        equal(error.response["Error"]["Code"], code, f"the error's code ({error})")
        modeled = getattr(kinesis.exceptions, code, ClientError)
        true(isinstance(error, modeled), f"{error!r} is a {modeled}")
        equal(error.response["ResponseMetadata"]["HTTPStatusCode"], 400, "status")
        true(error.response["ResponseMetadata"]["RequestId"], "a request id")
        for word in words:
            true(word in str(error), f"{word!r} is in {str(error)!r}")
        return error
    raise AssertionError(f"expected {code}, got {answer}")


def millstream(*args):
    """A command of the node's own."""
    command = [os.environ["MILLSTREAM_BINARY"], *args, "--node", os.environ["MILLSTREAM_NODE"]]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def numbered(stream, numbers, keys=20, per_key=10):
    """Puts records whose data is {key, number}, `per_key` more of each key; `numbers` remembers how far each is."""
    records = []
    for _ in range(per_key):
        for key in (f"key-{i}" for i in range(keys)):
            data = json.dumps({"key": key, "number": numbers.get(key, 0)})
            numbers[key] = numbers.get(key, 0) + 1
            records.append({"Data": data.encode(), "PartitionKey": key})
    answer = kinesis.put_records(StreamName=stream, Records=records)
    equal(answer["FailedRecordCount"], 0, "FailedRecordCount")
    equal(len(answer["Records"]), len(records), "results")
    return answer["Records"]


def active_consumer(consumer):
    """Waits until a consumer is ACTIVE, and gives its description."""

    def described():
        description = kinesis.describe_stream_consumer(ConsumerARN=consumer)["ConsumerDescription"]
        return description if description["ConsumerStatus"] == "ACTIVE" else None

    return until("the consumer is active", 30, described)
