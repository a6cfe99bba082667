"""What no SDK shows: bytes, headers, signatures of other kinds, connections."""

import datetime
import gzip
import json
import os
import time

import cbor
from report import CLOCKED_ENDPOINT, KEYED_ENDPOINT, SCHEME, equal, set_clock, true, until
from wire import Failure, Wire, authorization, presigned


def refused(code, call, status=400):
    try:
        answer = call()
    except Failure as failure:
        equal((failure.status, failure.code), (status, code), "the error")
        return failure
    raise AssertionError(f"expected {code}, got {answer}")


def headers_and_bodies():
    wire = Wire("json")
    response = wire.send("ListStreams", b"{}")
    body = response.read()
    true(b'": ' not in body and b", " not in body, f"compact JSON: {body!r}")
    for header in ("x-amzn-RequestId", "x-amz-id-2", "Date", "Content-Length"):
        true(response.headers[header], f"{header} in {response.headers}")
    response = wire.send("DescribeStream", b'{"StreamName":"none-such"}')
    error = json.loads(response.read())
    equal(set(error), {"__type", "message"}, "members of an error")
    equal(response.headers.get("x-amzn-ErrorType", "ResourceNotFoundException").split(":")[0], "ResourceNotFoundException", "x-amzn-ErrorType")
    response = wire.send("DescribeStream", b'{"StreamName":')
    error = json.loads(response.read())
    equal((error["__type"], set(error) - {"Message"}), ("SerializationException", {"__type"}), "an unfinished body")
    response = wire.send("ListStreams", gzip.compress(b"{}"), {"Content-Encoding": "gzip"})
    equal((response.status, b"StreamNames" in response.read()), (200, True), "a compressed body")
    response = wire.send("ListStreams", b"{}", {"Origin": "http://example.test"})
    response.read()
    equal(response.headers["Access-Control-Allow-Origin"], "*", "CORS")


def forms_of_cbor():
    """Both forms of maps, and a request of Java to the byte."""
    stream = f"raw-{SCHEME}-forms"
    Wire("cbor", indefinite=False)("CreateStream", StreamName=stream, ShardCount=1)
    body = b"\xbf\x6aStreamName" + cbor.encode(stream) + b"\xff"
    described = Wire("cbor").answer("DescribeStreamSummary", Wire("cbor").send("DescribeStreamSummary", body))
    equal(described["StreamDescriptionSummary"]["StreamName"], stream, "StreamName")
    true(isinstance(described["StreamDescriptionSummary"]["StreamCreationTimestamp"], cbor.Time), "tag 1 and an integer")
    wire = Wire("cbor")
    for broken in (b"\xbf\x6aStreamName", b"\xff", b"\x9f" * 100_000, b"\xa1\x61a\xfb"):
        response = wire.send("DescribeStreamSummary", broken)
        error = cbor.decode(response.read())
        equal((response.status, error["__type"]), (400, "SerializationException"), f"{broken[:20]!r}")


def one_connection_many_requests():
    """Keep-alive, and requests sent before the answers to those before them were read."""
    wire = Wire("json")
    wire("ListStreams")
    port = wire.connection.sock.getsockname()
    for _ in range(50):
        wire("ListStreams")
    equal(wire.connection.sock.getsockname(), port, "the connection")
    body = b"{}"
    headers = {"Host": wire.host, "Content-Type": wire.content_type, "X-Amz-Target": "Kinesis_20131202.DescribeLimits"}
    headers |= authorization(headers, "/", body, "any", "any") | {"Content-Length": str(len(body))}
    text = "POST / HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers.items()) + "\r\n"
    wire.connection.sock.sendall((text.encode() + body) * 5)
    got = b""
    while got.count(b"OpenShardCount") < 5:
        more = wire.connection.sock.recv(65536)
        true(more, f"5 answers, but the connection ended behind {got!r}")
        got += more
    equal(got.count(b"HTTP/1.1 200"), 5, "answers to 5 requests in one write")


def signatures():
    key, secret = os.environ["MILLSTREAM_KEY"], os.environ["MILLSTREAM_SECRET"]
    good = lambda: Wire("json", KEYED_ENDPOINT, key, secret)
    good()("ListStreams")
    refused("InvalidSignatureException", lambda: Wire("json", KEYED_ENDPOINT, key, "wrong")("ListStreams"))
    refused("UnrecognizedClientException", lambda: Wire("json", KEYED_ENDPOINT, "AKIDNONE", secret)("ListStreams"))
    wire = good()
    refused("MissingAuthenticationTokenException", lambda: wire.answer("ListStreams", wire.send("ListStreams", b"{}", sign=False)))
    wire = good()
    half = {"Authorization": "AWS4-HMAC-SHA256 Credential=x"}
    refused("IncompleteSignatureException", lambda: wire.answer("ListStreams", wire.send("ListStreams", b"{}", half, sign=False)))

    def at(moment):
        wire = good()
        headers = {"Host": wire.host, "Content-Type": wire.content_type, "X-Amz-Target": "Kinesis_20131202.ListStreams"}
        headers |= authorization(headers, "/", b"{}", key, secret, moment)
        return wire.answer("ListStreams", wire.send("ListStreams", b"{}", headers, sign=False))

    now = datetime.datetime.now(datetime.timezone.utc)
    at(now - datetime.timedelta(minutes=4))
    true("expired" in str(refused("InvalidSignatureException", lambda: at(now - datetime.timedelta(minutes=20)))), "expired")
    refused("InvalidSignatureException", lambda: at(now + datetime.timedelta(minutes=20)))

    wire = good()
    response = wire.send("ListStreams", b"{}", {"X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD"})
    equal(response.status, 200, f"a body that is not signed: {response.read()}")
    wire = good()
    response = wire.send("ListStreams", b"{}", path=presigned(wire.host, b"{}", key, secret), sign=False)
    equal(response.status, 200, f"a signature in the query: {response.read()}")
    wire = good()
    response = wire.send("ListStreams", b"{}", path=presigned(wire.host, b"{}", key, "wrong"), sign=False)
    equal((response.status, b"InvalidSignatureException" in response.read()), (400, True), "a wrong signature in the query")


def expiry():
    """Iterators and tokens live for 5 minutes of the node's clock; both encodings at the same time, for it does not go back."""
    wires = [Wire(encoding, CLOCKED_ENDPOINT) for encoding in ("json", "cbor")]
    wire = wires[0]
    stream, other = f"raw-{SCHEME}-expiry", f"raw-{SCHEME}-expiry-other"
    for each in (stream, other):
        wire("CreateStream", StreamName=each, ShardCount=2)
        status = lambda: wire("DescribeStreamSummary", StreamName=each)["StreamDescriptionSummary"]["StreamStatus"]
        until(f"{each} is active", 30, lambda: status() == "ACTIVE")
    arn = wire("DescribeStreamSummary", StreamName=stream)["StreamDescriptionSummary"]["StreamARN"]
    for consumer in ("one", "two"):
        wire("RegisterStreamConsumer", StreamARN=arn, ConsumerName=consumer)
    position = wire("GetShardIterator", StreamName=stream, ShardId="0", ShardIteratorType="LATEST")["ShardIterator"]
    aged = (
        ("GetRecords", {"ShardIterator": position}, "ExpiredIteratorException"),
        ("ListShards", {"NextToken": wire("ListShards", StreamName=stream, MaxResults=1)["NextToken"]}, "ExpiredNextTokenException"),
        ("ListStreamConsumers", {"StreamARN": arn, "NextToken": wire("ListStreamConsumers", StreamARN=arn, MaxResults=1)["NextToken"]}, "ExpiredNextTokenException"),
        ("ListStreams", {"NextToken": wire("ListStreams", Limit=1)["NextToken"]}, "ExpiredNextTokenException"),
    )
    set_clock("+240s")
    for wire in wires:
        for operation, members, _ in aged:
            wire(operation, **members)
    set_clock("+301s")
    for wire in wires:
        for operation, members, code in aged:
            response = wire.send(operation, wire.encode(members))
            error = wire.decode(response.read())
            equal((response.status, response.headers["Content-Type"]), (400, wire.content_type), f"{operation}, expired")
            equal((error["__type"], set(error)), (code, {"__type", "message"}), f"{operation}, expired")


def garbage_and_short_names():
    """Garbage is told from what is real, and shards may be named shortly."""
    wire = Wire("json")
    stream = f"raw-{SCHEME}-garbage"
    wire("CreateStream", StreamName=stream, ShardCount=1)
    real = wire("GetShardIterator", StreamName=stream, ShardId="0", ShardIteratorType="LATEST")["ShardIterator"]
    for position in (real[:-4], real[:40] + "AAAA" + real[44:], "x", "AAAA"):
        refused("InvalidArgumentException", lambda: wire("GetRecords", ShardIterator=position))
    time.sleep(0.01)
    again = wire("GetShardIterator", StreamName=stream, ShardId="x-000000000000", ShardIteratorType="LATEST")["ShardIterator"]
    true(again != real, "a new iterator differs")


CASES = [headers_and_bodies, forms_of_cbor, one_connection_many_requests, signatures, expiry, garbage_and_short_names]
